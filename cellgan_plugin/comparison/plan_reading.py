"""Read what is to be compared from a config or from the command line."""

import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from cellgan_plugin.comparison.plan import ComparedModel, ComparisonPlan, FigureOptions, Stage
from cellgan_plugin.compat import quiet_upstream
from cellgan_plugin.errors import check_known
from cellgan_plugin.runs.config_file import folders_of, open_config
from cellgan_plugin.runs.config_values import find_beside
from cellgan_plugin.user_modules import import_of_config

_PLAN_KEYS = (
    'name', 'title', 'config', 'models', 'evaluation', 'evaluation_options', 'options', 'budget',
    'samples_per_class', 'seeds', 'figure', 'amp', 'data',
)  # fmt: skip
_MODEL_KEYS = ('name', 'config', 'options', 'checkpoint', 'stages', 'settings', 'sample_kwargs')
BUDGETS = ('minutes', 'cpu_minutes', 'iterations')
_STAGE_KEYS = ('name', 'config', 'options', 'checkpoint', 'share')
_FIGURE_KEYS = ('samples_per_class', 'seed', 'real', 'scale', 'columns')


def find_file(path: Union[str, Path], source: Optional[Path], what: str) -> Path:
    """A file by its path from the config that says it, else from here.

    Raises:
        FileNotFoundError: It is in neither place; the message names both.
    """
    path = Path(path).expanduser()
    folders = [] if source is None or path.is_absolute() else folders_of(str(path), source)
    tried = [*(folder / path for folder in folders), path]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f'{what} {" or ".join(map(str, tried))} does not exist')


def _checkpoint(path: Any, source: Optional[Path], what: str) -> Optional[Path]:
    if not path:
        return None
    from cellgan_plugin.runs.trained_model import find_checkpoint

    try:
        return find_checkpoint(find_beside(str(path), source))
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{what}: {error}') from None


def _read_stages(found: Mapping[str, Any], source: Optional[Path], where: str) -> Tuple[Stage, ...]:
    if ('config' in found) == ('stages' in found):
        raise ValueError(f'{where} needs either config=... or stages=[dict(config=...), ...]')
    if 'config' in found:
        entries = [{k: found[k] for k in ('config', 'options', 'checkpoint') if k in found}]
        entries[0]['name'] = 'training'
    else:
        entries = [dict(entry) for entry in found['stages']]
        if 'options' in found or 'checkpoint' in found:
            raise ValueError(f'{where} has stages: say options and checkpoint of each stage there')
        if not entries:
            raise ValueError(f'{where} has no stage')
    stages = []
    for number, entry in enumerate(entries):
        here = where if len(entries) == 1 else f'{where}, stage {number}'
        check_known(here, entry, _STAGE_KEYS)
        if 'config' not in entry:
            raise ValueError(f'{here} has no config')
        config = find_file(entry['config'], source, f'{here}: config')
        stages.append(
            Stage(
                name=re.sub(r'[^\w.-]+', '_', entry.get('name') or config.stem),
                config=config,
                options=dict(entry.get('options') or {}),
                checkpoint=_checkpoint(entry.get('checkpoint'), source, here),
                share=float(entry.get('share', 1 / len(entries))),
            )
        )
    trained = [stage for stage in stages if stage.checkpoint is None]
    if len({stage.name for stage in stages}) < len(stages):
        raise ValueError(f'{where}: two stages are named {stages[0].name!r}; give each a name')
    if any(not 0 < stage.share <= 1 for stage in trained):
        raise ValueError(f'{where}: the share of a stage must be in (0, 1]')
    given = any('share' in entry for entry in entries)
    if given and trained and abs(sum(stage.share for stage in trained) - 1) > 1e-6:
        raise ValueError(
            f'{where}: the shares of the stages that are trained add up to '
            f'{sum(stage.share for stage in trained):g}, expected 1'
        )
    return tuple(stages)


def _read_model(found: Any, source: Optional[Path], config: Optional[str]) -> ComparedModel:
    """``config``: of a model that names none."""
    if not isinstance(found, Mapping) or not found.get('name'):
        raise ValueError(f'models: each is a dict with a name, got {found!r}')
    if config is not None and not {'config', 'stages'} & set(found):
        found = dict(found, config=config)
    where = f'model {found["name"]!r}'
    check_known(where, found, _MODEL_KEYS)
    settings = dict(found.get('settings') or {})
    if any(not isinstance(value, bool) for value in settings.values()):
        raise ValueError(f'{where}: settings are True or False, got {settings}')
    return ComparedModel(
        name=str(found['name']),
        stages=_read_stages(found, source, where),
        settings=settings,
        sample_kwargs=dict(found.get('sample_kwargs') or {}),
    )


def make_comparison(found: Mapping[str, Any], name: str, source: Optional[Path]) -> ComparisonPlan:
    """Check the values of a comparison and put them in order.

    Args:
        found (Mapping): As of a comparison's config, see docs/comparison.md.
        name (str): Where the config says none.
        source (Path | None): The config file, for relative paths.

    Raises:
        FileNotFoundError: A config or a checkpoint does not exist.
        ValueError: Something is missing, unknown, or out of range.
    """
    found = {key: value for key, value in found.items() if not key.startswith('_')}
    check_known(f'comparison {name}', found, _PLAN_KEYS)
    for key in ('models', 'evaluation'):
        if not found.get(key):
            raise ValueError(f'comparison {name} has no {key}')
    models = tuple(_read_model(model, source, found.get('config')) for model in found['models'])
    folders = [model.folder.lower() for model in models]
    twice = next((m.name for m in models if folders.count(m.folder.lower()) > 1), None)
    if twice is not None:
        raise ValueError(f'two models would have the folder of {twice!r}: give them other names')
    budget = dict(found.get('budget') or {})
    check_known('budget', budget, BUDGETS)
    if len(budget) > 1:
        raise ValueError(f'budget: one of {", ".join(BUDGETS)}, got {", ".join(budget)}')
    if any(not value > 0 for value in budget.values()):
        raise ValueError(f'budget must be positive, got {budget}')
    seeds = tuple(found.get('seeds', (0,)))
    if not seeds or len(set(seeds)) < len(seeds) or any(not isinstance(s, int) for s in seeds):
        raise ValueError(f'seeds: different whole numbers, got {list(seeds)}')
    samples = found.get('samples_per_class')
    if samples is not None and samples != 'match' and not (isinstance(samples, int) and samples):
        raise ValueError(f"samples_per_class: a positive number, 'match' or None, got {samples!r}")
    figure = dict(found.get('figure') or {})
    check_known('figure', figure, _FIGURE_KEYS)
    evaluation = find_file(found['evaluation'], source, 'evaluation')
    name = found.get('name') or name
    return ComparisonPlan(
        name=name,
        title=found.get('title') or name,
        models=models,
        evaluation=evaluation,
        evaluation_options=dict(found.get('evaluation_options') or {}),
        options=dict(found.get('options') or {}),
        **budget,
        samples_per_class=samples,
        seeds=seeds,
        figure=FigureOptions(**figure),
        amp=bool(found.get('amp', False)),
        data=found.get('data'),
    )


def read_comparison(
    config: Union[str, Path, None] = None, overrides: Optional[Mapping[str, Any]] = None
) -> ComparisonPlan:
    """Read a comparison.

    Args:
        config (str | Path, optional): Config file, e.g.
            ``configs/comparisons/cellgan_table1_phantom.py``. Defaults to None: everything is in
            ``overrides``.
        overrides (Mapping, optional): Values in place of those of the config; dicts are merged.

    Raises:
        FileNotFoundError: See :func:`make_comparison`.
        ValueError: See :func:`make_comparison`.
    """
    values: Dict[str, Any] = {}
    name, source = 'comparison', None
    if config is not None:
        with quiet_upstream():
            read = open_config(config, 'comparison')
        import_of_config(read, for_jobs=True)
        values = read.to_dict()
        values.pop('custom_imports', None)
        name, source = Path(config).stem, Path(config).resolve()
    for key, value in (overrides or {}).items():
        merge = isinstance(value, Mapping) and isinstance(values.get(key), Mapping)
        # A budget has one entry: another one takes its place.
        values[key] = {**values[key], **value} if merge and key != 'budget' else value
    return make_comparison(values, name, source)


def parse_models(words: Sequence[str]) -> List[Dict[str, Any]]:
    """``NAME=CONFIG.py`` or ``NAME=CONFIG.py:CHECKPOINT`` as entries of ``models``.

    Raises:
        ValueError: A word is neither.
    """
    models = []
    for word in words:
        match = re.fullmatch(r'([^=]+)=(.+?\.py)(?::(.+))?', word)
        if match is None:
            raise ValueError(f'--models {word}: expected NAME=CONFIG.py or NAME=CONFIG.py:CKPT')
        model = dict(name=match[1], config=match[2])
        models.append({**model, 'checkpoint': match[3]} if match[3] else model)
    return models
