"""Which arguments a class or a function takes, ``**kwargs`` followed to where they go."""

import ast
import functools
import inspect
import textwrap
from typing import Any, Callable, FrozenSet, NamedTuple, Optional, Set, Tuple

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Arguments(NamedTuple):
    """What can be said by name.

    Attributes:
        names (frozenset[str]): Known ones.
        open (bool): Others are taken as well, for a purpose that the source does not tell.
    """

    names: FrozenSet[str]
    open: bool


@functools.cache
def arguments_of(target: Callable) -> Arguments:
    """The arguments of a class's constructor, or of a function.

    Where a constructor hands its ``**kwargs`` to ``super().__init__``, those of the next class are
    taken in, and so on; what it takes out of them by name counts as an argument.

    Args:
        target (Callable): Class or function.
    """
    names: Set[str] = set()
    functions = [target]
    if inspect.isclass(target):
        functions = [c.__dict__['__init__'] for c in target.__mro__ if '__init__' in c.__dict__]
    refused: Set[str] = set()  # given on the way up
    for function in functions:
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # written in C
            return Arguments(frozenset(names), True)
        if inspect.isclass(target):
            parameters = parameters[1:]
        names |= {p.name for p in parameters if p.kind in _NAMED} - refused
        rest = [p.name for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD]
        if not rest:
            return Arguments(frozenset(names), False)
        use = _use_of(function, rest[0]) if function is not object.__init__ else None
        if use is None:
            return Arguments(frozenset(names), True)
        taken, set_here, goes_up = use
        names |= taken
        refused |= set_here - names
        if not goes_up:
            return Arguments(frozenset(names), True)
    return Arguments(frozenset(names), False)


def _use_of(function: Callable, rest: str) -> Optional[Tuple[Set[str], Set[str], bool]]:
    """What a constructor does with its ``**rest``.

    Returns:
        tuple | None: Names taken out of it; names that the constructor says itself where it hands
        it on; whether it goes to the next class and nowhere else. None without source.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    taken: Set[str] = set()
    set_here: Set[str] = set()
    up, uses, known_uses = False, 0, 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == rest:
            uses += 1
        elif isinstance(node, ast.Call):
            if any(k.arg is None and _is(k.value, rest) for k in node.keywords):
                if not (isinstance(node.func, ast.Attribute) and node.func.attr == '__init__'):
                    return taken, set_here, False
                up = True
                known_uses += 1
                set_here |= {k.arg for k in node.keywords if k.arg is not None}
            elif isinstance(node.func, ast.Attribute) and _is(node.func.value, rest):
                known_uses += 1
                name = _text(node.args[0]) if node.args else None
                if name is not None:
                    taken.add(name)
        elif isinstance(node, ast.Subscript) and _is(node.value, rest):
            known_uses += 1
            name = _text(node.slice)
            if name is not None:
                taken.add(name)
        elif isinstance(node, ast.Compare) and any(_is(c, rest) for c in node.comparators):
            known_uses += 1
    return taken, set_here, up and uses == known_uses


def _is(node: Any, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _text(node: Any) -> Optional[str]:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
