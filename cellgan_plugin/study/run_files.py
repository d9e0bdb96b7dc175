"""The configs of a study's runs: complete, in ``configs/`` of its folder."""

from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import Config

from cellgan_plugin.benchmark.classifier_run import write_run
from cellgan_plugin.benchmark.rows import slug
from cellgan_plugin.benchmark.schedule import stretched_schedule
from cellgan_plugin.comparison.plan import ComparedModel
from cellgan_plugin.compat import quiet_upstream
from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.datasets.manifest import iter_manifest
from cellgan_plugin.engine.amp import enable_amp
from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.runs.config_check import check_config
from cellgan_plugin.runs.config_file import open_config
from cellgan_plugin.runs.config_values import FOLD
from cellgan_plugin.runs.data_settings import apply_data, data_folder, settle_size
from cellgan_plugin.runs.model_zoo import shipped_models
from cellgan_plugin.runs.train import load_config
from cellgan_plugin.study.budget import CLASSIFIER_STEPS, POOL, SLACK, Plan
from cellgan_plugin.study.division import Division, fold_folder
from cellgan_plugin.study.settings import StudySettings, folders_of, study_configs

_TRADITIONAL = [
    dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5, diagonal=0.5),
    dict(type='RandomTissueColor', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02),
]
_PASSES = 5  # K (HistoGAN, Sec. 4.2.2)


class RunFiles:
    """Writes the configs of a study.

    Args:
        settings (StudySettings): The study.
        division (Division): Its images.
        out (Path): Its folder.
        size (int): Side of the images in pixels.
    """

    def __init__(self, settings: StudySettings, division: Division, out: Path, size: int):
        self.settings, self.division = settings, division
        self.out, self.size = out.absolute(), size
        self.folder = self.out / 'configs'

    def _load(self, path: str) -> Config:
        with quiet_upstream():
            config = open_config(path)
        settle_size(config, self.size)
        config = load_config(config)
        check_config(config)
        apply_data(config, self.division.folder, say=False)
        config.pop('work_dir', None)
        return config

    def generator_file(self, name: str) -> Path:
        """Config of a generator."""
        return self.folder / f'{slug(name)}.py'

    @property
    def classifier_file(self) -> Path:
        """Config of the classifier."""
        return self.folder / 'classifier.py'

    def generator(self, name: str, iterations: int, minutes: Optional[float]) -> Config:
        """The run of a generator: so many iterations, and no longer than a time limit.

        Args:
            name (str): In the tables.
            iterations (int): Learning rates are stretched to them.
            minutes (float, optional): Limit of the training time. Defaults to None: none.

        Raises:
            ProtocolError: It is no generator that one training makes.
        """
        path = self.settings.trained[name]
        config = self._load(path)
        model = config.get('model') or {}
        if 'generator' not in model or 'autoencoder_checkpoint' in model:
            raise ProtocolError(
                f'generator {name!r}: {path} is not a GAN that is trained in one stage. A study '
                'takes its images: train it once per fold of the study, as docs/study.md has it '
                "under images of another generator, and give --generators 'NAME=DIR/fold{fold}'; "
                'or let tools/compare.py (stages of a model) and tools/benchmark.py '
                '--train-generators (stages of a generator) train both stages'
            )
        config.param_scheduler = stretched_schedule(
            config.get('param_scheduler'), config.train_cfg, iterations
        )
        config.train_cfg.update(max_iters=iterations, val_interval=iterations)
        for key in [key for key in config.keys() if key.startswith(('val_', 'test_'))]:
            config.pop(key)
        if self.settings.amp:
            enable_amp(config.optim_wrapper)
        hooks = [h for h in config.get('custom_hooks') or [] if 'ModelSelection' not in h['type']]
        for hook in hooks:
            if hook['type'].endswith('SampleSheetHook'):
                hook['interval'] = max(1, iterations // 5)
        if minutes is not None:
            hooks.append(dict(type='TimeBudgetHook', minutes=minutes))
        config.custom_hooks = hooks
        config.default_hooks.checkpoint.interval = max(50, iterations // 4)
        config.default_hooks.logger.interval = max(5, iterations // 60)
        return config

    def classifier(self, iterations: int = CLASSIFIER_STEPS) -> Config:
        """The run of the data set's own classifier."""
        config = self._load(self.settings.classifier)
        config.param_scheduler = stretched_schedule(
            config.get('param_scheduler'), config.train_cfg, iterations
        )
        config.train_cfg.update(max_iters=iterations, val_interval=iterations)
        config.default_hooks.checkpoint.interval = iterations
        return config

    def write(self, plan: Plan) -> None:
        """Write all configs of a plan."""
        settings = self.settings
        for name in settings.trained:
            limit = None if settings.iterations else plan.minutes * SLACK
            run = self.generator(name, plan.iterations[name], limit)
            write_run(run, self.generator_file(name))
        write_run(self.classifier(), self.classifier_file)
        write_run(self._evaluation(), self.folder / 'evaluation.py')
        if self.compares:
            write_run(Config(self._comparison()), self.folder / 'comparison.py')
        write_run(Config(self._benchmark(plan)), self.folder / 'benchmark.py')

    def _evaluation(self) -> Config:
        config = self._load(str(study_configs() / 'evaluation.py'))
        dataset = config.val_dataloader.dataset
        dataset.split = self.division.held_out
        (metric,) = config.val_evaluator['metrics']
        metric['extractor'].update(
            config=str(self.classifier_file), checkpoint=str(self.out / 'classifier')
        )
        metric['memorisation'] = dict(training=dict(dataset.to_dict(), split='train'))
        return config

    @property
    def compares(self) -> bool:
        """Whether there are models to compare, and not images alone."""
        return bool(self.settings.trained or self.settings.beside)

    def _comparison(self) -> Dict[str, Any]:
        shipped = shipped_models()
        models: List[Dict[str, Any]] = [
            dict(name=name, config=str(self.generator_file(name))) for name in self.settings.trained
        ]
        models += [
            dict(
                name=f'{name} (ships)',
                config=str(shipped[name].config),
                checkpoint=str(shipped[name].weights),
            )
            for name in self.settings.beside
        ]
        return dict(
            name='study',
            title=f'{self.title}: generators',
            models=models,
            evaluation=str(self.folder / 'evaluation.py'),
        )

    @property
    def title(self) -> str:
        """Of tables."""
        return self.settings.title or Path(self.division.folder.root).name

    def _benchmark(self, plan: Plan) -> Dict[str, Any]:
        settings, folder = self.settings, self.division.folder
        generators, rows = {}, {'Traditional augmentation': dict(transforms=_TRADITIONAL)}
        for name in settings.generators:
            # A row has one pool; all rows of a generator share it.
            ratio = pool = settings.ratio
            if 'selected' in plan.rows:
                pool *= POOL
            chosen = ratio
            if name in settings.given:
                generators[name] = dict(settings.given[name])
                pool = min(pool, self._images_per_real(name, plan.folds))
                ratio, chosen = min(ratio, pool), pool / POOL
            else:
                generators[name] = dict(config=str(self.generator_file(name)))
                if plan.folds == 1:
                    generators[name]['checkpoint'] = str(self.checkpoint(name))
            common = dict(generator=name, ratio=ratio, pool=pool)
            known = {
                'added': (name, dict(rule='none')),
                'selected': (f'{name}, selected', dict(rule='selective', ratio=chosen)),
                'alone': (f'{name} alone', dict(rule='none', use='alone')),
                'first': (f'{name} first, then real', dict(rule='none', use='first')),
            }
            rows.update({shown: {**common, **row} for shown, row in map(known.get, plan.rows)})
        config = dict(
            title=self.title,
            data=dict(data_root=folder.root, ann_file=folder.ann_file),
            classes=list(folder.classes),
            classifiers=dict(ResNet=str(self.classifier_file)),
            generators=generators,
            rows=rows,
            selection=dict(passes=_PASSES, seed=0),
            num_folds=plan.folds,
            per_class=None,
            steps=plan.steps,
            seeds=list(settings.seeds),
        )
        config.update(dict(fixed_splits=True) if plan.folds == 1 else dict(train_generators=True))
        return config

    def _images_per_real(self, name: str, folds: int) -> float:
        """Synthetic images that are there over real training images, of the class with the fewest.

        Raises:
            ProtocolError: A class of the study has no image there.
        """
        given, counts, shares = self.settings.given[name], self.division.counts, []
        real = Counter(counts['train'])
        if folds > 1:  # a fold may have some more of one class than another fold
            real = sum(map(Counter, counts.values()), Counter())
        for number, folder in enumerate(folders_of(given)):
            if FOLD in given['folder']:
                rows = iter_manifest(fold_folder(self.out, number) / 'train.csv')
                real = Counter(row['label'] for _, row in rows)
            there = data_folder(folder).counts
            for label in self.division.folder.classes:
                found = sum(n for k, n in there.items() if resolve_class(k, [label]))
                if not found:
                    raise ProtocolError(f'{folder} has no image of class {label!r}')
                shares.append(found / real[label])
        return int(100 * min(shares)) / 100

    def checkpoint(self, name: str) -> Path:
        """Weights of a generator that is trained once."""
        model = ComparedModel(name, ())
        return self.out / 'generators' / model.folder / 'seed_0' / 'training' / 'final.pth'


def fixed_size(config: Config) -> Optional[int]:
    """The side that the generator of a config says; None where it leaves it open."""
    generator = (config.get('model') or {}).get('generator') or {}
    for key in ('out_size', 'output_scale'):
        if isinstance(generator.get(key), int):
            return generator[key]
    return None
