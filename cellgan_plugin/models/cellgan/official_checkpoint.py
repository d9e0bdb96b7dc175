"""Names of the weights in the authors' published checkpoints, and in ours."""

import re
from typing import Dict, List, Mapping, Tuple

from torch import Tensor

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
    """Rename the authors' weights to ours.

    Args:
        state (Mapping[str, Tensor]): The ``'model'`` entry of the authors' checkpoint.
        part (str): ``'generator'`` or ``'discriminator'``.

    Returns:
        dict[str, Tensor]: State dict of :class:`CellGANGenerator` / :class:`CellGANDiscriminator`.

    Raises:
        ValueError: When a key is not one of the authors'.
    """
    split = _split(list(state), list(_SUFFIXES))
    names = _module_names(part, [module for module, _ in split.values()])
    _refuse([k for k in state if k not in split or split[k][0] not in names], part, "an authors'")
    return {
        f'{names[module]}.{_SUFFIXES[suffix]}': state[key]
        for key, (module, suffix) in split.items()
    }


def to_official(state: Mapping[str, Tensor], part: str) -> Dict[str, Tensor]:
    """Rename our weights to the authors' names; the inverse of :func:`from_official`.

    Args:
        state (Mapping[str, Tensor]): State dict of our generator or discriminator.
        part (str): ``'generator'`` or ``'discriminator'``.

    Returns:
        dict[str, Tensor]: What the authors' checkpoint holds under ``'model'``.

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
