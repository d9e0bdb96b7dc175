"""A trained generator as a folder of three files that anybody can load with one call.

``model.safetensors``, ``config.json`` and ``README.md``: nothing in it is code, and loading it runs
none. Such a folder stands wherever a config and a checkpoint do (``tools/synthesize.py FOLDER``),
and goes to and from the Hugging Face Hub when that is asked for.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from cellgan_plugin.compat import load_tensors, save_safetensors
from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.datasets.content_hash import split_groups, to_hex
from cellgan_plugin.files import atomic_write, file_sha256, write_json
from cellgan_plugin.records import digest_of
from cellgan_plugin.runs.generator_folder import (
    CONFIG_NAME,
    FORMAT,
    WEIGHTS_NAME,
    GeneratorFolderError,
    is_generator_folder,
    read_generator_folder,
)
from cellgan_plugin.runs.image_sampler import sample_many
from cellgan_plugin.runs.sampling import LabelAndSeed, Sampling
from cellgan_plugin.version import __version__

CARD_NAME = 'README.md'
HUB = 'hf://'
# Of a model's config: where weights lie on the machine that trained it. Here they are in the file.
_LOCAL_KEYS = ('init_cfg', 'autoencoder_checkpoint')

PathLike = Union[str, Path]


def _without_local(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_local(v) for k, v in value.items() if k not in _LOCAL_KEYS}
    return [_without_local(v) for v in value] if isinstance(value, (list, tuple)) else value


def export_generator(
    config: Union[PathLike, Config],
    checkpoint: Optional[PathLike],
    out: PathLike,
    title: str = '',
    half: bool = False,
    options: Optional[dict] = None,
) -> Path:
    """Write a trained generator as a folder.

    Args:
        config (str | Path | Config): The run, or the name of a shipped model.
        checkpoint (str | Path, optional): Its weights, or its work directory.
        out (str | Path): The folder. A model card there that somebody has edited is kept.
        title (str): Of the model card. Defaults to '': the folder's name.
        half (bool): Round matrices to float16: half the bytes, a grey level here and there.
            Defaults to False.
        options (dict, optional): Overrides of the config. Defaults to None.

    Returns:
        Path: ``out``.

    Raises:
        FileNotFoundError: No such config or checkpoint.
        ValueError: Weights or classes do not fit the config.
    """
    sampling = Sampling.settle(config, checkpoint, 'cpu', precision='fp32', options=options)
    loaded = sampling.loaded  # that it can be built and fits is found here, not by who gets it
    out = Path(out)
    state = load_tensors(sampling.checkpoint, 'cpu')
    meta = dict(state.get('meta') or {})
    meta['dataset_meta'] = dict(meta.get('dataset_meta') or {}, classes=list(loaded.classes))
    written = dict(state_dict=state.get('state_dict', state), meta=meta)
    if loaded.training_images is not None:
        written['training_images'] = loaded.training_images
    out.mkdir(parents=True, exist_ok=True)
    save_safetensors(out / WEIGHTS_NAME, written, half)
    made = LoadedGenerator(sampling).images(sampling.classes[0], [0]).shape[1:]
    seen = loaded.training_images
    hashes = None if seen is None else sorted(to_hex(split_groups(seen)[0]))
    values = dict(
        format=FORMAT,
        cellgan_plugin=__version__,
        model=_without_local(json.loads(json.dumps(loaded.config.model.to_dict()))),
        classes=list(loaded.classes),
        image_shape=list(made),
        iteration=loaded.iteration,
        weights_sha256=file_sha256(out / WEIGHTS_NAME),
        made_from=sampling.hashes,
        training_images=None if hashes is None else len(hashes),
        training_images_hash=None if hashes is None else digest_of(hashes),
    )
    write_json(out / CONFIG_NAME, values)
    _write_card(out, title or out.resolve().name, values)
    read_generator_folder(out)
    return out


_MARK = '<!-- Written by cellgan_plugin. Take this line away, and the file is kept as it is. -->'


def _write_card(out: Path, title: str, values: Dict[str, Any]) -> None:
    path = out / CARD_NAME
    if path.is_file() and _MARK not in path.read_text(encoding='utf-8', errors='replace'):
        return
    height, width, channels = values['image_shape']
    seen = values['training_images']
    rows = [
        ('Kind', values['model']['type']),
        ('Classes', ', '.join(values['classes'])),
        ('Images', f'{width} x {height}, {channels} channels, uint8'),
        ('Iterations', values['iteration']),
        ('Weights, SHA-256', values['weights_sha256']),
        ('Made from checkpoint, SHA-256', values['made_from']['checkpoint_sha256']),
        ('Training images', 'not known' if seen is None else seen),
        ('Training images, hash of their hashes', values['training_images_hash']),
        ('cellgan_plugin', values['cellgan_plugin']),
    ]
    lines = [
        '---',
        'license: other',
        'license_name: to-be-chosen',
        'library_name: cellgan_plugin',
        'pipeline_tag: unconditional-image-generation',
        'tags:',
        '- synthetic-data',
        '- histopathology',
        '---',
        '',
        f'# {title}',
        '',
        _MARK,
        '',
        '```python',
        'from cellgan_plugin.apis import load_generator',
        '',
        "generator = load_generator('path/of/this/folder')",
        f'images = generator.images({values["classes"][0]!r}, range(16))  # uint8 (16, H, W, C)',
        '```',
        '',
        '```bash',
        'python tools/synthesize.py path/of/this/folder --per-class 100 --out synthetic',
        '```',
        '',
        '| | |',
        '| --- | --- |',
        *(f'| {name} | {value} |' for name, value in rows if value is not None),
        '',
        '## Data, numbers and licence',
        '',
        'To be written by who shares the model: what the training images are of and what their '
        'licence allows; the distances of `tools/evaluate_folders.py` beside their floor; how many '
        'images are memorised.',
        '',
        '## Limits',
        '',
        '- The hashes of its training images are in the weights: `tools/benchmark.py` refuses to '
        'test on one of them.',
        '- Not for diagnosis. A label is what the generator was asked for.',
        '- A generator may repeat training images. Look before images of patients are shared.',
        '',
    ]
    with atomic_write(path, 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines))


@dataclass
class LoadedGenerator:
    """A generator, ready to be asked for images.

    Attributes:
        sampling (Sampling): How it is sampled.
    """

    sampling: Sampling

    @property
    def model(self) -> nn.Module:
        """The network, in evaluation mode."""
        return self.sampling.loaded.model

    @property
    def classes(self) -> Tuple[str, ...]:
        """Class names in the order of the labels."""
        return self.sampling.classes

    def images(self, class_name: str, seeds: Iterable[int]) -> np.ndarray:
        """Images of one class: the same as ``tools/synthesize.py`` writes for these seeds.

        Args:
            class_name (str): Or another spelling of it.
            seeds (Iterable[int]): One image each.

        Returns:
            np.ndarray: uint8 (N, H, W, C), RGB or grey.

        Raises:
            ValueError: Unknown class, or no seed.
        """
        name = resolve_class(class_name, self.classes)
        if name is None:
            raise ValueError(f'class {class_name!r} is none of {list(self.classes)}')
        label = self.classes.index(name)
        rows: List[LabelAndSeed] = [(label, int(seed)) for seed in seeds]
        if not rows:
            raise ValueError('no seed given: name at least one')
        found: Dict[LabelAndSeed, np.ndarray] = {}

        def inputs_of(part: Sequence[LabelAndSeed]) -> Tuple[torch.Tensor, torch.Tensor]:
            return self.sampling.noise(part), torch.tensor([label for label, _ in part])

        unique = list(dict.fromkeys(rows))
        sample_many(self.sampling.sampler(), unique, inputs_of, found.__setitem__, workers=1)
        return np.stack([found[row] for row in rows])


def load_generator(path: PathLike, device: Optional[str] = None, **how: Any) -> LoadedGenerator:
    """Load a generator that :func:`export_generator` wrote; no code of it is run.

    Args:
        path (str | Path): The folder; the name of a shipped model; or ``hf://OWNER/NAME`` (with
            ``@REVISION`` after it), which is downloaded: nothing else ever is.
        device (str, optional): Defaults to None: a GPU where there is one.
        **how: Of :meth:`~cellgan_plugin.runs.sampling.Sampling.settle`: ``truncation``,
            ``precision``, ``sample_kwargs``, ...

    Returns:
        LoadedGenerator: With ``classes``, ``model`` and ``images(class_name, seeds)``.

    Raises:
        FileNotFoundError: No such folder.
        ImportError: ``hf://`` without huggingface_hub.
        GeneratorFolderError: It is no generator.
        ValueError: Its weights do not fit its config.
    """
    if str(path).startswith(HUB):
        path = pull_generator(str(path))
    elif Path(path).is_dir() and not is_generator_folder(path):
        raise GeneratorFolderError(
            f'{path} has no {WEIGHTS_NAME} and {CONFIG_NAME}: give a folder that '
            'tools/model_converters/export_generator.py wrote, or load_model(CONFIG, CHECKPOINT)'
        )
    elif not Path(path).exists() and len(Path(path).parts) > 1:
        raise FileNotFoundError(f'there is no folder {path}')
    sampling = Sampling.settle(path, None, device, **how)
    _ = sampling.loaded
    return LoadedGenerator(sampling)


# The Hub ----------------------------------------------------------------------------------------


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise ImportError(
            'the Hugging Face Hub needs the package huggingface_hub: pip install huggingface_hub'
        ) from None
    return huggingface_hub


def pull_generator(address: str) -> Path:
    """Download a generator from the Hugging Face Hub into its cache.

    Args:
        address (str): ``hf://OWNER/NAME`` or ``hf://OWNER/NAME@REVISION``.

    Returns:
        Path: The folder.

    Raises:
        ImportError: huggingface_hub is not installed.
        GeneratorFolderError: What is there is no generator.
    """
    name, _, revision = address.removeprefix(HUB).partition('@')
    files = [WEIGHTS_NAME, CONFIG_NAME, CARD_NAME]  # and nothing else, whatever lies there
    folder = _hub().snapshot_download(name, revision=revision or None, allow_patterns=files)
    if not is_generator_folder(folder):
        raise GeneratorFolderError(f'{address} has no {WEIGHTS_NAME} and {CONFIG_NAME}')
    return Path(folder)


def push_generator(folder: PathLike, name: str, private: bool = True) -> str:
    """Upload a generator's folder to the Hugging Face Hub, with the token of ``hf auth login``.

    Args:
        folder (str | Path): Of :func:`export_generator`.
        name (str): ``OWNER/NAME``.
        private (bool): For the owner alone. Defaults to True: images of patients may be in what a
            generator has learnt.

    Returns:
        str: The address.

    Raises:
        ImportError: huggingface_hub is not installed.
        GeneratorFolderError: The folder is no generator.
    """
    if not is_generator_folder(folder):
        raise GeneratorFolderError(f'{folder} has no {WEIGHTS_NAME} and {CONFIG_NAME}')
    read_generator_folder(folder)
    api = _hub().HfApi()
    api.create_repo(name, private=private, exist_ok=True)
    files = [WEIGHTS_NAME, CONFIG_NAME, CARD_NAME]
    api.upload_folder(folder_path=str(folder), repo_id=name, allow_patterns=files)
    return f'{HUB}{name}'
