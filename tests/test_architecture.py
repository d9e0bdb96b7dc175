"""Which room may import which: the house's floor plan, read from the code."""

import ast
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

import pytest

PACKAGE = Path(__file__).parents[1] / 'cellgan_plugin'
# Files beside the rooms: of them every room may import, and they import each other only.
FOUNDATION = {
    'checkpoint_files', 'checkpoint_reading', 'errors', 'files', 'locks', 'machine', 'processes',
    'randomness', 'records', 'safetensors_files', 'text', 'user_modules', 'version',
}  # fmt: skip
# What each room imports besides the foundation and itself. A room is added here with what it
# needs; a pair is added only if the room that is imported does not lead back.
ALLOWED: Dict[str, Set[str]] = {
    'compat': set(),
    'visualization': set(),
    'jobs': set(),
    'datasets': {'visualization'},
    'phantom': {'datasets', 'visualization'},
    'converters': {'datasets'},
    'models': {'compat', 'datasets'},
    'evaluation': {'compat', 'datasets', 'models', 'visualization'},
    'engine': {'compat', 'datasets', 'evaluation', 'models', 'visualization'},
    'runs': {'compat', 'datasets', 'engine', 'evaluation', 'jobs', 'models', 'visualization'},
    'synthesis': {'compat', 'datasets', 'models', 'runs', 'visualization'},
    'selection': {'compat', 'datasets', 'evaluation', 'models', 'runs', 'visualization'},
    'comparison': {
        'compat', 'datasets', 'engine', 'evaluation', 'jobs', 'models', 'runs', 'visualization',
    },
    'benchmark': {
        'compat', 'datasets', 'jobs', 'models', 'runs', 'selection', 'synthesis', 'visualization',
    },
    'segmentation': {
        'benchmark', 'datasets', 'evaluation', 'jobs', 'models', 'runs', 'visualization',
    },
    'reader_study': {'datasets', 'runs', 'visualization'},
    'reporting': {'benchmark', 'comparison', 'selection', 'synthesis', 'visualization'},
    'study': {
        'benchmark', 'comparison', 'compat', 'datasets', 'engine', 'jobs', 'reporting', 'runs',
        'selection', 'synthesis', 'visualization',
    },
    'apis': {
        'benchmark', 'comparison', 'datasets', 'reader_study', 'reporting', 'runs', 'segmentation',
        'selection', 'study', 'synthesis',
    },
    'mim': {'compat'},
    'report': {'compat', 'engine', 'runs'},
    '__init__': {'compat', 'datasets', 'engine', 'evaluation', 'models'},
}  # fmt: skip


def _modules() -> Dict[str, Path]:
    paths = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = ('cellgan_plugin', *path.relative_to(PACKAGE).with_suffix('').parts)
        paths['.'.join(parts).removesuffix('.__init__')] = path
    return paths


MODULES = _modules()


def _imports(name: str) -> Iterator[str]:
    """Modules of this package that a module names in an import, wherever it stands."""
    package = name if MODULES[name].name == '__init__.py' else name.rpartition('.')[0]
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                above = package.rsplit('.', node.level - 1)[0] if node.level > 1 else package
                base = '.'.join(filter(None, [above, base]))
            names = [f'{base}.{alias.name}' for alias in node.names]
            targets = [full if full in MODULES else base for full in names]
        else:
            continue
        yield from (target for target in targets if target.split('.')[0] == 'cellgan_plugin')


IMPORTS = {name: sorted(set(_imports(name))) for name in MODULES}


def _room(name: str) -> str:
    parts = name.split('.')
    return parts[1] if len(parts) > 1 else '__init__'


def test_every_room_is_on_the_plan():
    rooms = {_room(name) for name in MODULES} - FOUNDATION
    assert rooms == set(ALLOWED)


def test_rooms_import_only_what_the_plan_allows():
    wrong: List[Tuple[str, str]] = []
    for name, targets in IMPORTS.items():
        room = _room(name)
        allowed = FOUNDATION | ALLOWED.get(room, set()) | {room}
        wrong += [(name, target) for target in targets if _room(target) not in allowed]
    assert not wrong


def test_the_plan_has_no_way_back():
    reached: Dict[str, Set[str]] = {}

    def below(room: str) -> Set[str]:
        if room not in reached:
            reached[room] = set()
            for other in ALLOWED[room]:
                reached[room] |= {other} | below(other)
        return reached[room]

    assert not [room for room in ALLOWED if room in below(room)]


def test_the_plan_names_no_pair_that_is_not_used():
    used = {(_room(name), _room(target)) for name in MODULES for target in IMPORTS[name]}
    unused = [(room, other) for room, others in ALLOWED.items() for other in others
              if (room, other) not in used]  # fmt: skip
    assert not unused


def test_files_do_not_import_each_other_in_a_circle():
    left = {name: {t for t in targets if t != name} for name, targets in IMPORTS.items()}
    # An __init__ that re-exports its own files is not a circle: they do not need it.
    for name, targets in left.items():
        targets -= {name.rpartition('.')[0]} if MODULES[name].name != '__init__.py' else set()
    while True:
        ready = [name for name, targets in left.items() if not targets & left.keys()]
        if not ready:
            break
        for name in ready:
            del left[name]
    assert not left, f'a circle among {sorted(left)}'


@pytest.mark.parametrize('name', ['cellgan_plugin.apis'])
def test_the_face_only_re_exports(name):
    tree = ast.parse(MODULES[name].read_text(encoding='utf-8'))
    defined = [n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    assert defined == ['__getattr__', '__dir__']


def test_each_verb_of_the_face_is_where_it_says():
    from cellgan_plugin import apis

    for verb in apis.__all__:
        function = getattr(apis, verb)
        assert function.__name__ == verb and function.__doc__
