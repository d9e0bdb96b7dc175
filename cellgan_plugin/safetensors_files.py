"""safetensors: weights that ship, in half precision and without an optimizer."""

import json
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple, Union

from cellgan_plugin.files import atomic_write

# Key of the file's text entries under which ours lie, as JSON.
_META = 'cellgan_plugin'
_STATE = 'state_dict.'
_AVERAGE, _PLAIN = 'generator_ema.module.', 'generator.'
# Of a GAN, and of the scales of a pyramid.
DISCRIMINATORS = ('discriminator.', 'discriminators.')


def save_safetensors(
    path: Union[str, Path], checkpoint: Mapping[str, Any], half: bool = True
) -> int:
    """Write the sampling part of a checkpoint, or a classifier, whole or not at all.

    Of a GAN with an average, the average alone is written; its discriminator is not.

    Args:
        path (str | Path): The file.
        checkpoint (Mapping): As :func:`~cellgan_plugin.compat.load_tensors` gives it:
            ``state_dict``, ``meta`` (``dataset_meta``, ``iter``), ``training_images``.
        half (bool): Round matrices and kernels to float16; vectors (biases, statistics, singular
            vectors) stay float32. Defaults to True.

    Returns:
        int: Number of tensors.

    Raises:
        ValueError: It has no weights, or weights that float16 cannot hold.
    """
    import torch
    from safetensors.torch import save

    state = {k: v for k, v in checkpoint.get('state_dict', {}).items() if hasattr(v, 'dtype')}
    averaged = any(key.startswith(_AVERAGE) for key in state)
    if averaged:
        average = {
            _PLAIN + key[len(_AVERAGE) :]: value
            for key, value in state.items()
            if key.startswith(_AVERAGE)
        }
        # Of a model in several parts (a latent diffusion model's autoencoder) the others stay.
        others = {k: v for k, v in state.items() if not k.startswith((_PLAIN, 'generator_ema.'))}
        state = {**average, **others}
    written = {}
    for key, value in state.items():
        if key.startswith(DISCRIMINATORS):
            continue
        if half and value.dtype == torch.float32 and value.ndim >= 2:
            value = value.half()
            if not torch.isfinite(value).all():
                raise ValueError(f'{key} has values that float16 cannot hold')
        written[_STATE + key] = value.contiguous()
    if not written:
        raise ValueError('the checkpoint has no weights (state_dict)')
    if checkpoint.get('training_images') is not None:
        written['training_images'] = checkpoint['training_images'].contiguous()
    meta = checkpoint.get('meta') or {}
    classes = list((meta.get('dataset_meta') or {}).get('classes') or [])
    text = dict(classes=classes, iter=meta.get('iter'), averaged=averaged)
    with atomic_write(path, 'wb') as file:
        file.write(save(written, {_META: json.dumps(text)}))
    return len(written)


def load_safetensors(path: Union[str, Path]) -> Dict[str, Any]:
    """Read what :func:`save_safetensors` wrote, as a checkpoint in float32.

    Returns:
        dict: ``state_dict`` (an average under both its names), ``meta``, and ``training_images``
        where the file has it.

    Raises:
        ValueError: The file is damaged, or another program's.
    """
    import torch

    tensors, metadata = _read(path)
    try:
        text = json.loads(metadata.get(_META, 'null'))
    except ValueError as error:
        raise ValueError(f'{path}: {_META} in it is no JSON ({error}); copy it again') from error
    if not isinstance(text, dict):
        raise ValueError(
            f'{path} was not written by tools/model_converters/export_weights.py: its weights have '
            'names of their own'
        )
    state = {
        key[len(_STATE) :]: value.float() if value.dtype == torch.float16 else value
        for key, value in tensors.items()
        if key.startswith(_STATE)
    }
    if text.get('averaged'):
        average = {
            _AVERAGE + key[len(_PLAIN) :]: value
            for key, value in state.items()
            if key.startswith(_PLAIN)
        }
        state.update(average)
        state['generator_ema.steps'] = torch.tensor(1)
    meta = dict(iter=text.get('iter'), dataset_meta=dict(classes=text.get('classes') or []))
    found = dict(state_dict=state, meta=meta)
    if 'training_images' in tensors:
        found['training_images'] = tensors['training_images']
    return found


def load_foreign_safetensors(path: Union[str, Path]) -> Dict[str, Any]:
    """The tensors of another program's file (timm, Hugging Face), by their names and types in it.

    Raises:
        ValueError: The file is damaged.
    """
    return _read(path)[0]


def _read(path: Union[str, Path]) -> Tuple[Dict[str, Any], Dict[str, str]]:
    """The tensors and the text entries of a file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework='pt') as file:
            # The file knows its keys, but is no mapping.
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f'{path} is damaged or no safetensors file ({error}); copy it again'
        ) from error
