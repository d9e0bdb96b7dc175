"""The authors' published checkpoints: their names for the weights and ours, and conversion."""

import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from cellgan_plugin.compat import load_tensors
from cellgan_plugin.files import atomic_write

from .discriminator import CellGANDiscriminator
from .generator import CellGANGenerator

PARTS = ('generator', 'discriminator')

# (authors' module name, ours). Both are patterns with numbered groups written as {1}, {2}; the
# numbers in a name are pixels unless the line says otherwise.
_GENERATOR: List[Tuple[str, str]] = [
    ('init_z.init', 'init'),
    ('up_{1}.main.1.affine_cond', 'up_blocks.{1}.adain.affine'),
    ('up_{1}.main.3', 'up_blocks.{1}.conv'),
    ('to_out.0', 'to_image'),
]
_DISCRIMINATOR: List[Tuple[str, str]] = [
    ('down_{1}.main.1', 'down_blocks.{1}.conv1'),
    ('down_{1}.main.3', 'down_blocks.{1}.conv2'),
    ('down_{1}.shortcut.1', 'down_blocks.{1}.shortcut'),
    ('to_logits', 'to_logits'),
    ('to_cls_embed', 'class_embedding'),
]
# The authors' spectral norm keeps its vectors beside the weight, ours in a parametrization.
_SUFFIXES: Dict[str, str] = {
    'weight_orig': 'parametrizations.weight.original',
    'weight_u': 'parametrizations.weight.0.u',
    'weight_v': 'parametrizations.weight.0.v',
    'bias': 'bias',
}


def _module_names(part: str, keys: List[str]) -> Dict[str, str]:
    """{authors' module name: our module name} for one part with these authors' module names."""
    names: Dict[str, str] = {}
    for key in keys:
        for theirs, ours in _GENERATOR if part == 'generator' else _DISCRIMINATOR:
            match = re.fullmatch(re.escape(theirs).replace(r'\{1\}', r'(\d+)'), key)
            if match:
                names[key] = ours.format(None, *match.groups())
        if part == 'generator':
            if match := re.fullmatch(r'cls_map_net\.net\.(\d+)', key):
                # Every second module of theirs is an activation.
                names[key] = f'mapping.layers.{int(match[1]) // 2}'
            elif match := re.fullmatch(
                r'se_\d+_(\d+)\.(to_context|transform\.0|transform\.2)', key
            ):
                role = {
                    'to_context': 'attention',
                    'transform.0': 'squeeze',
                    'transform.2': 'expand',
                }
                names[key] = f'skips.{match[1]}.{role[match[2]]}'
        elif re.fullmatch(r'down_\d+', key):
            names[key] = 'stem'
        elif match := re.fullmatch(r'decoder_(part|overall)\.main\.(\d+)(\.main\.2)?', key):
            decoder = 'crop_decoder' if match[1] == 'part' else 'half_decoder'
            # Module 0 of theirs is a pooling; the last one is the output convolution.
            names[key] = (
                f'{decoder}.convs.{int(match[2]) - 1}' if match[3] else f'{decoder}.to_image'
            )
    return names


def _split(keys: List[str], suffixes: List[str]) -> Dict[str, Tuple[str, str]]:
    """{key: (module name, suffix)} for the keys that end in one of the suffixes."""
    found = {}
    for key in keys:
        for suffix in suffixes:
            if key.endswith('.' + suffix):
                found[key] = (key[: -len(suffix) - 1], suffix)
    return found


def _refuse(unknown: List[str], part: str, whose: str) -> None:
    if unknown:
        shown = ', '.join(sorted(unknown)[:5])
        more = f' and {len(unknown) - 5} more' if len(unknown) > 5 else ''
        raise ValueError(
            f'not {whose} CellGAN {part}: unknown weights {shown}{more}. '
            f'Is it the other part ({", ".join(p for p in PARTS if p != part)})?'
        )


def from_official(state: Mapping[str, Tensor], part: str) -> Dict[str, Tensor]:
    """Rename the authors' weights (their ``'model'`` entry) to ours; ValueError for other keys."""
    split = _split(list(state), list(_SUFFIXES))
    names = _module_names(part, [module for module, _ in split.values()])
    _refuse([k for k in state if k not in split or split[k][0] not in names], part, "an authors'")
    return {
        f'{names[module]}.{_SUFFIXES[suffix]}': state[key]
        for key, (module, suffix) in split.items()
    }


def to_official(state: Mapping[str, Tensor], part: str) -> Dict[str, Tensor]:
    """Our weights by the authors' names; the inverse of :func:`from_official`.

    Raises:
        ValueError: When a key is not one of ours, or the authors' program has no such module.
    """
    split = _split(list(state), list(_SUFFIXES.values()))
    inverse = {
        ours: theirs for theirs, ours in _module_names(part, _official_names(state, part)).items()
    }
    back = {ours: theirs for theirs, ours in _SUFFIXES.items()}
    _refuse([k for k in state if k not in split or split[k][0] not in inverse], part, 'one of our')
    return {
        f'{inverse[module]}.{back[suffix]}': state[key] for key, (module, suffix) in split.items()
    }


def _official_names(state: Mapping[str, Tensor], part: str) -> List[str]:
    """The authors' module names of a model with our state dict."""
    names: List[str] = []
    if part == 'generator':
        sizes = _numbers(state, r'up_blocks\.(\d+)\.')
        names += ['init_z.init', 'to_out.0']
        names += [f'up_{s}.main.{m}' for s in sizes for m in ('1.affine_cond', '3')]
        names += [f'cls_map_net.net.{2 * i}' for i in _numbers(state, r'mapping\.layers\.(\d+)\.')]
        names += [
            # Theirs names the source of a skip too; it is always an eighth of the target.
            f'se_{s // 8}_{s}.{m}'
            for s in _numbers(state, r'skips\.(\d+)\.')
            for m in ('to_context', 'transform.0', 'transform.2')
        ]
    else:
        sizes = _numbers(state, r'down_blocks\.(\d+)\.')
        names += [f'down_{2 * max(sizes, default=0)}', 'to_logits', 'to_cls_embed']
        names += [f'down_{s}.{m}' for s in sizes for m in ('main.1', 'main.3', 'shortcut.1')]
        for theirs, ours in (('part', 'crop_decoder'), ('overall', 'half_decoder')):
            stages = _numbers(state, ours + r'\.convs\.(\d+)\.')
            names += [f'decoder_{theirs}.main.{i + 1}.main.2' for i in stages]
            names += [f'decoder_{theirs}.main.{len(stages) + 1}'] if stages else []
    return names


def _numbers(state: Mapping[str, Tensor], pattern: str) -> List[int]:
    return sorted({int(match[1]) for key in state if (match := re.match(pattern, key))})


def guess_part(keys: Iterable[str]) -> str:
    """Which part weights belong to, by the authors' names or ours (with or without prefix).

    Raises:
        ValueError: When the names fit neither part, or both.
    """
    keys = list(keys)
    marks = {
        'generator': r'(cls_map_net|init_z|to_out|mapping|up_blocks|generator(_ema)?)\.',
        'discriminator': r'(to_cls_embed|to_logits|down_blocks|class_embedding|discriminator)\.',
    }
    fitting = [part for part in PARTS if any(re.match(marks[part], key) for key in keys)]
    if len(fitting) != 1:
        found = 'weights of both parts' if fitting else f'neither part of CellGAN in {keys[:5]}'
        raise ValueError(f'found {found}: say --part generator or --part discriminator')
    return fitting[0]


def model_arguments(state: Mapping[str, Tensor], part: str) -> Dict[str, Any]:
    """Read the arguments of the model off the shapes of our state dict.

    What leaves no trace in the weights (``head``, ``mapping_depth`` 0 against 1, skips that are
    not the default ones) is taken to be the authors'.

    Args:
        state (Mapping[str, Tensor]): State dict of our generator or discriminator.
        part (str): Which.

    Returns:
        dict: Arguments of :class:`CellGANGenerator` / :class:`CellGANDiscriminator`.

    Raises:
        ValueError: When a weight that every such model has is missing.
    """

    def shape(module: str) -> Sequence[int]:
        key = f'{module}.parametrizations.weight.original'
        if key not in state:
            raise ValueError(f'not a CellGAN {part}: {module} has no weight')
        return tuple(state[key].shape)

    if part == 'discriminator':
        stages = _numbers(state, r'crop_decoder\.convs\.(\d+)\.')
        return dict(
            in_size=2 * max(_numbers(state, r'down_blocks\.(\d+)\.'), default=0),
            num_classes=shape('class_embedding')[1],
            base_channels=shape('down_blocks.8.conv1')[0] // 16,
            in_channels=shape('stem')[1],
            decoder_channels=tuple(shape(f'crop_decoder.convs.{i}')[0] for i in stages) or None,
        )
    skips = _numbers(state, r'skips\.(\d+)\.')
    skip_type = None
    fusion = 'add'
    if skips:
        has_attention = any(key.startswith(f'skips.{skips[0]}.attention') for key in state)
        skip_type = 'sgc' if has_attention else 'sle'
        if any(shape(f'skips.{s}.expand')[0] > shape(f'up_blocks.{s}.conv')[0] for s in skips):
            fusion = 'modulate'
    return dict(
        out_size=max(_numbers(state, r'up_blocks\.(\d+)\.'), default=0),
        num_classes=shape('mapping.layers.0')[1],
        noise_size=shape('init')[0],
        embed_size=shape('mapping.layers.0')[0],
        mapping_depth=len(_numbers(state, r'mapping\.layers\.(\d+)\.')),
        base_channels=shape('init')[1] // 16,
        out_channels=shape('to_image')[0],
        skip_type=skip_type,
        sgc_fusion=fusion,
    )


def build_part(state: Mapping[str, Tensor], part: str) -> nn.Module:
    """Build our generator or discriminator from its weights alone, see :func:`model_arguments`.

    Raises:
        ValueError: When the weights do not fit the model that their shapes describe.
    """
    kind = CellGANGenerator if part == 'generator' else CellGANDiscriminator
    arguments = model_arguments(state, part)
    model = kind(**arguments)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = '; '.join(line.strip() for line in str(error).splitlines()[1:4])
        raise ValueError(f'the weights do not fit {kind.__name__}({arguments}): {reason}') from None
    return model


def convert_checkpoint(
    src: Union[str, Path],
    out: Union[str, Path],
    part: Optional[str] = None,
    reverse: bool = False,
    weights: str = 'ema',
) -> Dict[str, Any]:
    """Convert a checkpoint of the authors to one of ours, or back.

    Ours is what ``load_from`` and ``init_cfg=dict(type='Pretrained')`` of :class:`CellGAN` read: a
    generator is written twice, as ``generator.*`` and as ``generator_ema.module.*`` (with one step
    counted, so that further training goes on averaging instead of starting over), a discriminator
    as ``discriminator.*``. ``meta['model']`` holds the arguments that the shapes say.

    Args:
        src (str | Path): The authors' file (``{'model': ...}``), or ours with ``reverse``.
        out (str | Path): Written whole or not at all.
        part (str, optional): ``'generator'`` or ``'discriminator'``. Defaults to None: guessed.
        reverse (bool): From ours to the authors'. Defaults to False.
        weights (str): With ``reverse``, which generator: ``'ema'`` (where there is one) or
            ``'orig'``. Defaults to ``'ema'``.

    Returns:
        dict: ``part``, ``source`` (what was read from the file) and ``model`` (the arguments).

    Raises:
        FileNotFoundError, UntrustedCheckpointError: See :func:`cellgan_plugin.compat.load_tensors`.
        ValueError: When the file is not what was said, or the authors' program has no such model.
    """
    if part not in (None, *PARTS):
        raise ValueError(f'part={part!r}: must be one of {PARTS}')
    if weights not in ('ema', 'orig'):
        raise ValueError(f"weights={weights!r}: must be 'ema' or 'orig'")
    loaded = load_tensors(src, map_location='cpu')
    if reverse:
        part, source, state = _own_part(loaded, src, part, weights)
        arguments = model_arguments(state, part)
        _refuse_foreign_structure(arguments, loaded)
        build_part(state, part)
        result: Dict[str, Any] = {'model': to_official(state, part)}
    else:
        part, source, state = _official_part(loaded, src, part)
        arguments = model_arguments(state, part)
        build_part(state, part)
        prefixes = ['generator.', 'generator_ema.module.']
        prefixes = prefixes if part == 'generator' else ['discriminator.']
        written = {prefix + key: state[key] for prefix in prefixes for key in state}
        if part == 'generator':
            written['generator_ema.steps'] = torch.tensor(1)
        meta = dict(converted_from='authors', part=part, model=arguments)
        result = dict(meta=meta, state_dict=written)
    with atomic_write(out) as file:
        torch.save(result, file)
    return dict(part=part, source=source, model=arguments)


def _official_part(
    loaded: Any, src: Union[str, Path], part: Optional[str]
) -> Tuple[str, str, Dict[str, Tensor]]:
    if not isinstance(loaded, dict) or not isinstance(loaded.get('model'), dict):
        hint = ''
        if isinstance(loaded, dict) and 'state_dict' in loaded:
            hint = ' It looks like a checkpoint of ours: add --reverse to convert it back.'
        raise ValueError(f"{src} has no 'model' entry with weights, as the authors' have.{hint}")
    state = loaded['model']
    if state and all(key.startswith('module.') for key in state):
        state = {key[len('module.') :]: value for key, value in state.items()}
    part = part or guess_part(state)
    return part, 'model', from_official(state, part)


def _own_part(
    loaded: Any, src: Union[str, Path], part: Optional[str], weights: str
) -> Tuple[str, str, Dict[str, Tensor]]:
    if not isinstance(loaded, dict) or not isinstance(loaded.get('state_dict'), dict):
        hint = ''
        if isinstance(loaded, dict) and 'model' in loaded:
            hint = " It looks like a checkpoint of the authors': leave --reverse away."
        raise ValueError(f"{src} has no 'state_dict' entry, as checkpoints of ours have.{hint}")
    everything = loaded['state_dict']
    part = part or guess_part(everything)
    prefixes = {
        ('generator', 'ema'): ['generator_ema.module.', 'generator.'],
        ('generator', 'orig'): ['generator.'],
    }.get((part, weights), ['discriminator.'])
    for prefix in prefixes:
        state = {k[len(prefix) :]: v for k, v in everything.items() if k.startswith(prefix)}
        if state:
            return part, prefix[:-1], state
    raise ValueError(f'{src} holds no {part}: no weight starts with {" or ".join(prefixes)}')


def _refuse_foreign_structure(arguments: Dict[str, Any], loaded: Dict[str, Any]) -> None:
    """Refuse a model of ours that the authors' program would load as another one."""
    config = str((loaded.get('meta') or {}).get('config_text') or '')
    foreign = []
    if arguments.get('sgc_fusion') == 'modulate':
        foreign.append("sgc_fusion='modulate'")
    if arguments.get('skip_type') == 'sle':
        foreign.append("skip_type='sle'")
    # These two leave no trace in the weights; a training checkpoint carries its config as text.
    if 'mapping_depth' in arguments and re.search(r'\bmapping_depth\s*=\s*0\b', config):
        foreign.append('mapping_depth=0')
    if 'in_size' in arguments and re.search(r"\bhead\s*=\s*'global'", config):
        foreign.append("head='global'")
    if foreign:
        raise ValueError(
            f"the authors' program has no {' and no '.join(foreign)}: these weights would mean "
            'another network there'
        )
