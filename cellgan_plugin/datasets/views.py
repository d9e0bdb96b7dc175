"""The eight views of an image (flips and quarter turns), and which of them a training shows."""

import ast
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

import torch
from torch import Tensor

# Of each view: rows and columns exchanged, then flipped upside-down, then left-right.
VIEWS: Dict[str, Tuple[bool, bool, bool]] = {
    'identity': (False, False, False),
    'horizontal': (False, False, True),
    'vertical': (False, True, False),
    'rotate180': (False, True, True),
    'transpose': (True, False, False),
    'rotate90': (True, True, False),
    'rotate270': (True, False, True),
    'transverse': (True, True, True),
}
ALL_VIEWS = tuple(VIEWS)


def apply_view(image: Tensor, view: str) -> Tensor:
    """One view of :data:`VIEWS` of images (..., H, W); ``rotate90`` turns counter-clockwise.

    Where rows and columns are exchanged the result is (..., W, H).
    """
    transposed, vertical, horizontal = VIEWS[view]
    image = image.transpose(-2, -1) if transposed else image
    axes = [axis for axis, flipped in ((-2, vertical), (-1, horizontal)) if flipped]
    return image.flip(axes) if axes else image


def check_views(views: Sequence[str]) -> Tuple[str, ...]:
    """The views in the order of :data:`VIEWS`, the image itself among them.

    Raises:
        ValueError: One that is no view.
    """
    unknown = [view for view in views if view not in VIEWS]
    if unknown or isinstance(views, str):
        raise ValueError(f'views={views!r}: choose any of {list(VIEWS)}')
    return tuple(view for view in VIEWS if view in views or view == 'identity')


def views_of_pipeline(pipeline: Any) -> Tuple[str, ...]:
    """The views of an image that a training pipeline can show, the image itself first.

    Flips and transpositions of this plugin, MMCV, MMPretrain, MMagic and torchvision are known by
    name, wherever they are nested; what several of them do after each other counts too.

    Args:
        pipeline: Lists and dictionaries of a config; a data set or a loader too.
    """
    steps: Set[str] = set()
    for transform in _transforms(pipeline):
        steps.update(_steps(transform))
    return _closure(steps)


def views_of_config_text(text: str) -> Optional[Tuple[str, ...]]:
    """The views that the training of a config shows, from its text as checkpoints carry it.

    The text is parsed, never run.

    Args:
        text (str): As ``Config.pretty_text``.

    Returns:
        tuple[str] | None: None where the text has no training pipeline that can be read.
    """
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            if statement.targets[0].id == 'train_dataloader':
                loader = _literal(statement.value)
                return views_of_pipeline(loader) if _has_pipeline(loader) else None
    return None


def views_of_config(config: Mapping[str, Any]) -> Optional[Tuple[str, ...]]:
    """As :func:`views_of_config_text`, of a config that is at hand."""
    loader = config.get('train_dataloader')
    return views_of_pipeline(loader) if _has_pipeline(loader) else None


def _literal(node: ast.AST) -> Any:
    """Value of literals and of ``dict(...)``; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {_literal(k): _literal(v) for k, v in zip(node.keys, node.values, strict=True)
                if isinstance(k, ast.Constant)}  # fmt: skip
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        return {word.arg: _literal(word.value) for word in node.keywords if word.arg}
    return None


def _nested(part: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, Mapping):
        yield part
        part = list(part.values())
    if isinstance(part, (list, tuple)):
        for item in part:
            yield from _nested(item)


def _has_pipeline(loader: Any) -> bool:
    return any('pipeline' in part for part in _nested(loader))


def _transforms(pipeline: Any) -> Iterator[Mapping[str, Any]]:
    return (part for part in _nested(pipeline) if isinstance(part.get('type'), str))


def _steps(transform: Mapping[str, Any]) -> List[str]:
    """Views that one transform can show."""

    def happens(key: str, default: float) -> bool:
        chance = transform.get(key, default)
        chances = chance if isinstance(chance, (list, tuple)) else [chance]
        return any(value is None or value > 0 for value in chances)

    name = transform['type'].split('.')[-1].split('/')[-1]
    if name in ('RandomCellFlip', 'RandomTissueFlip'):
        turned = dict(diagonal=0.0) if name == 'RandomCellFlip' else dict(turn=0.5)
        defaults = dict(horizontal=0.5, vertical=0.5, **turned)
        shown = [key for key, default in defaults.items() if happens(key, default)]
        return ['transpose' if key in ('diagonal', 'turn') else key for key in shown]
    if name in ('RandomFlip', 'Flip'):
        if not happens('flip_ratio' if name == 'Flip' else 'prob', 0.5):
            return []
        said = transform.get('direction', 'horizontal')
        said = said if isinstance(said, (list, tuple)) else [said]
        both = dict(diagonal='rotate180')  # MMCV's word for both flips at once
        return [both.get(word, word) for word in said if both.get(word, word) in VIEWS]
    known = dict(
        RandomHorizontalFlip=('p', 'horizontal'),
        RandomVerticalFlip=('p', 'vertical'),
        RandomTransposeHW=('transpose_ratio', 'transpose'),
    )
    if name in known and happens(known[name][0], 0.5):
        return [known[name][1]]
    return []


def _closure(steps: Set[str]) -> Tuple[str, ...]:
    """All views that repeated steps lead to."""
    square = torch.arange(4).reshape(2, 2)  # tells the eight views apart
    reached, waiting = [square.tolist()], [square]
    while waiting:
        pixels = waiting.pop()
        for following in (apply_view(pixels, step) for step in steps):
            if following.tolist() not in reached:
                reached.append(following.tolist())
                waiting.append(following)
    return tuple(view for view in VIEWS if apply_view(square, view).tolist() in reached)
