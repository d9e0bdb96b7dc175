"""Single mistakes in a part of a config: an unknown type, an unknown key, a number out of range."""

from typing import Any, Callable, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from mmengine.registry import Registry

from cellgan_plugin.errors import did_you_mean, nearest_name

NEAR = 0.85  # likeness of a misspelt name to the right one, where others are taken as well
# The same of types: one that is far from all may come with a package that is missing here. The
# parts of other packages' models have many names that are alike.
NEAR_TYPE, NEAR_PART = 0.8, 0.87
_SHOWN = 12  # names in a message


class _Number(NamedTuple):
    """What a number must be."""

    least: int
    text: str
    whole: bool = True
    besides: Tuple[Any, ...] = (None,)


_COUNT = _Number(1, 'a whole number of at least 1')
_NUMBERS = {
    'loop': dict(max_iters=_COUNT, max_epochs=_COUNT, val_interval=_COUNT, val_begin=_COUNT),
    'loader': dict(
        batch_size=_COUNT, num_workers=_Number(0, 'a whole number of at least 0')
    ),
    'hook': dict(
        interval=_Number(1, 'a whole number of at least 1, or -1 for never', besides=(None, -1))
    ),
    'optimizer': dict(lr=_Number(0, 'a number of at least 0', whole=False)),
}  # fmt: skip


def find_type(name: str, registry: Registry, scope: str) -> Optional[Callable]:
    """What a name stands for in a registry; None where it stands for nothing.

    Args:
        name (str): As in a config, e.g. 'Adam', 'mmagic.BigGAN', 'torch.nn.GELU'.
        registry (Registry): One of MMEngine's.
        scope (str): Where names without a scope are looked up first.
    """
    with registry.switch_scope_and_registry(scope) as scoped:
        try:
            return scoped.get(name)
        except (RuntimeError, ImportError):  # no such module
            return None


def registered_names(registry: Registry) -> List[str]:
    """Every name of a registry and of those above it; nothing is imported for it."""
    names: List[str] = []
    while registry is not None:
        names += registry.module_dict
        registry = registry.parent
    return names


def unknown_type(
    path: str, name: Any, registry: Registry, scope: str, cutoff: float = NEAR_TYPE
) -> Iterator[str]:
    """A type that is not registered and looks like one that is; others MMEngine complains of."""
    prefix, _, last = str(name).rpartition('.')
    where = prefix if prefix and '.' not in prefix else scope
    with registry.switch_scope_and_registry(where) as scoped:
        registered = registered_names(scoped)
    near = nearest_name(last, registered, cutoff)
    if near is not None:
        near = '.'.join(filter(None, [prefix, near]))
        yield f'{path}: there is no {registry.name} {name!r}; did you mean {near!r}?'


def is_of(target: Any, package: str) -> bool:
    """Whether a class or a function comes from a package, e.g. 'torch'."""
    return (getattr(target, '__module__', None) or '').partition('.')[0] == package


def unknown_keys(
    path: str, value: Any, known: Iterable[str], what: str, open_: bool = False
) -> Iterator[str]:
    """Keys of a dict that are not known; where others are taken as well, those near to a known."""
    if not isinstance(value, Mapping):
        return
    known = set(known)
    for key in value:
        if key in known or str(key).startswith('_'):
            continue
        if open_ and nearest_name(key, known, NEAR) is None:
            continue
        hint = did_you_mean(key, known)
        if not hint:
            names = sorted(known - {'type', 'self'})
            more = ', ...' if len(names) > _SHOWN else ''
            hint = f'; it takes {", ".join(names[:_SHOWN])}{more}'
        yield f'{path}.{key}: {what} takes no {key!r}{hint}'


def bad_numbers(path: str, value: Any, what: str) -> Iterator[str]:
    """Numbers of a part that are out of range."""
    if not isinstance(value, Mapping):
        return
    for key, rule in _NUMBERS[what].items():
        number = value.get(key)
        if key not in value or any(number is entry or number == entry for entry in rule.besides):
            continue
        good = isinstance(number, (int, float)) and not isinstance(number, bool)
        if good and rule.whole:
            good = number == int(number) if number == number and abs(number) < 1e18 else False
        if not good or number < rule.least:
            yield f'{path}.{key}={number!r}: must be {rule.text}'
