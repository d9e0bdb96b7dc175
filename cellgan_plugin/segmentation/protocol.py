"""What a segmentation benchmark is: label ratios x methods x seeds, read from a config."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple, Union

from mmengine.config import Config

from cellgan_plugin.benchmark.protocol import spec_of
from cellgan_plugin.benchmark.rows import check_folders
from cellgan_plugin.datasets.classes import check_class_names
from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.runs.config_values import find_beside, read_settings

DATA_KEYS = (
    'data_root', 'ann_file', 'classes', 'instances', 'mask_map', 'label_column', 'train', 'test',
    'shared_groups', 'follow_links',
)  # fmt: skip
METRICS = (
    'mIoU', 'OPA', 'SMA', 'NLL', 'ECE', 'object_f1', 'object_dice', 'object_hausdorff',
)  # fmt: skip
TABLES = (*METRICS, 'glas_metrics', 'pixel_scores')
GENERATION_KEYS = ('extractor', 'split', 'similarity_masks', 'similarity_samples')
# Higher is better but for distances.
LOWER_IS_BETTER = ('NLL', 'ECE', 'object_hausdorff')


@dataclass(frozen=True)
class Method:
    """One row of the tables.

    Attributes:
        name (str): Shown.
        config (str): Config of its run, a segmenter on a ``TissueMaskDataset``.
        options (Mapping): Overrides of the config.
        unlabelled (bool): Trains on images without their masks, too. Defaults to False: only on
            the labelled share.
        transductive (bool): Images of the test set are among those without masks; the tables say
            so. Defaults to False: inductive.
        full_config (str | None): Config where every training image is labelled and none is left
            without, e.g. Algorithm 2 for a method of Algorithm 3. Defaults to None: a method with
            ``unlabelled`` is left out there.
        full_options (Mapping): Overrides of ``full_config``.
        ratios (tuple | None): Only these of the protocol's. Defaults to None: all.
        sizes (Mapping[int, Mapping]): Overrides of the config for the protocol's ``sizes``.
    """

    name: str
    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    unlabelled: bool = False
    transductive: bool = False
    full_config: Optional[str] = None
    full_options: Mapping[str, Any] = field(default_factory=dict)
    ratios: Optional[Tuple[float, ...]] = None
    sizes: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self):
        if self.transductive and not self.unlabelled:
            raise ProtocolError(
                f'method {self.name!r}: transductive=True trains on test images without their '
                'masks, which needs unlabelled=True'
            )

    @property
    def shown(self) -> str:
        """Its name in the tables."""
        return f'{self.name} (transductive)' if self.transductive else self.name

    def config_at(self, ratio: float) -> Optional[Tuple[str, Mapping[str, Any]]]:
        """Config and overrides at a share of labelled images; None: it cannot be run there."""
        if ratio == 1 and self.unlabelled and not self.transductive:
            return None if self.full_config is None else (self.full_config, self.full_options)
        return self.config, self.options


@dataclass(frozen=True)
class SegmentationProtocol:
    """A segmentation benchmark.

    Attributes:
        data (Mapping): ``data_root``, ``ann_file`` (manifest, defaults to ``manifest.csv``),
            ``classes``, ``instances``, ``mask_map``, ``label_column`` as of
            :class:`~cellgan_plugin.datasets.TissueMaskDataset`; ``train`` and ``test``, splits of
            the manifest; ``shared_groups``: patients in both are an ``'error'`` (default) or said
            in the tables (``'warn'``).
        methods (tuple[Method]): Rows.
        title (str): Of the tables.
        ratios (tuple[float]): Shares of labelled training images; 1 is all of them. Defaults to
            (0.2, 0.4, 0.6, 0.8, 1.0) (Li et al. 2022, Sec. 4.4.1).
        seeds (tuple[int]): Each chooses the labelled images and starts the training. Defaults to
            (0,).
        folds (int): Folds by patient of all images of the ``train`` split, in place of a ``test``
            split; 0: none. Defaults to 0.
        run_folds (tuple[int] | None): Only these, from 0. Defaults to None: all.
        labelled_by (str): ``'group'`` keeps the images of a patient together when some are
            labelled, ``'image'`` does not. Defaults to 'image', as the paper's.
        parts (Mapping[str, str]): Part of the test set -> what file names start with.
        rule (Mapping): Of ``ObjectRule``: how predicted masks become objects.
        sizes (tuple[int]): Input sizes to compare (Fig. 7); each method names what changes.
        metrics (tuple[str]): Of :data:`METRICS`, one table by ratio each; empty: nothing is
            segmented.
        options (Mapping): Overrides of every method's config.
        baseline (tuple[str, str, str] | None): Names of the methods of Fig. 6: single scale, with
            pyramid, and the full method. Defaults to None: no such figure.
        generation (Mapping): Evaluate the images that models make from masks, too (Table 1):
            ``extractor`` (a config of features) and perhaps ``split`` of the masks (defaults to
            ``test``), ``similarity_masks``, ``similarity_samples``. Defaults to {}: no.
        show_truth (bool): The sheet of predicted masks starts with the true ones. Defaults to
            True.
        keep_weights (bool): Keep the checkpoints. Defaults to False.
        notes (tuple[str]): Below every table.
        published (Mapping): Numbers of a paper, shown below ours and marked as its own: ``source``,
            a text, and ``tables``: name of a table's file (``mIoU``, ``glas_metrics``,
            ``pixel_scores``, ...) -> method -> column -> number or (mean, deviation).
            ``glas_metrics`` and ``pixel_scores`` are of all masks, and shown where all are used.
            Defaults to {}: none.
    """

    data: Mapping[str, Any]
    methods: Tuple[Method, ...]
    title: str = 'Segmentation with few labels'
    ratios: Tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    seeds: Tuple[int, ...] = (0,)
    folds: int = 0
    run_folds: Optional[Tuple[int, ...]] = None
    labelled_by: str = 'image'
    parts: Mapping[str, str] = field(default_factory=dict)
    rule: Mapping[str, Any] = field(default_factory=dict)
    sizes: Tuple[int, ...] = ()
    metrics: Tuple[str, ...] = (
        'mIoU', 'NLL', 'ECE', 'object_dice', 'object_f1', 'object_hausdorff',
    )  # fmt: skip
    options: Mapping[str, Any] = field(default_factory=dict)
    baseline: Optional[Tuple[str, str, str]] = None
    generation: Mapping[str, Any] = field(default_factory=dict)
    show_truth: bool = True
    keep_weights: bool = False
    notes: Tuple[str, ...] = ()
    published: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        unknown = sorted(set(self.published.get('tables') or {}) - set(TABLES))
        if self.published and (unknown or not self.published.get('source')):
            raise ProtocolError(
                f'published: needs source, a text, and tables of {TABLES}, got {unknown or "none"}'
            )
        wrong = sorted(set(self.data) - set(DATA_KEYS))
        if wrong:
            raise ProtocolError(f'data: {", ".join(wrong)} is not known; there are {DATA_KEYS}')
        if not self.data.get('data_root'):
            raise ProtocolError('data=dict(data_root=...) is missing: where the images are')
        if not self.data.get('classes'):
            raise ProtocolError('data=dict(classes=[...]) is missing; class 0 is the background')
        check_class_names(self.data['classes'])
        if self.data.get('shared_groups', 'error') not in ('error', 'warn'):
            raise ProtocolError("data: shared_groups is 'error' or 'warn'")
        if (self.folds > 0) == bool(self.data.get('test')):
            raise ProtocolError(
                "name the test images: either data=dict(test='test'), a split of the manifest, or "
                'folds=5'
            )
        if self.folds == 1:
            raise ProtocolError('two or more folds are needed, got 1')
        if not self.methods:
            raise ProtocolError('name at least one method: methods={NAME: dict(config=...)}')
        check_folders('methods', [method.shown for method in self.methods])
        for method in self.methods:
            missing = [size for size in self.sizes if size not in method.sizes]
            if missing:
                raise ProtocolError(
                    f'method {method.name!r} does not say what size {missing[0]} changes: '
                    f'sizes={{{missing[0]}: dict(...)}} with overrides of its config'
                )
        for what, values in (('ratios', self.ratios), ('seeds', self.seeds)):
            if not values or len(set(values)) != len(values):
                raise ProtocolError(f'{what} must be different numbers, got {list(values)}')
        if not all(0 < ratio <= 1 for ratio in self.ratios):
            raise ProtocolError(f'ratios must be above 0 and at most 1, got {list(self.ratios)}')
        unknown = sorted(set(self.metrics) - set(METRICS))
        if unknown:
            raise ProtocolError(f'metrics: {unknown[0]!r} is none of {METRICS}')
        wrong = sorted(set(self.generation) - set(GENERATION_KEYS))
        if wrong or (self.generation and not self.generation.get('extractor')):
            raise ProtocolError(
                f'generation: needs extractor=dict(type=...); there are {GENERATION_KEYS}, got '
                f'{list(self.generation)}'
            )
        if not self.metrics and not self.generation:
            raise ProtocolError('metrics is empty and generation is not asked for: nothing to do')
        names = [method.shown for method in self.methods]
        for name in self.baseline or ():
            if name not in names:
                raise ProtocolError(f'baseline names {name!r}; the methods are {names}')
        if self.labelled_by not in ('image', 'group'):
            raise ProtocolError(f"labelled_by is 'image' or 'group', got {self.labelled_by!r}")

    @property
    def classes(self) -> Tuple[str, ...]:
        """Class names in the order of the ids."""
        return check_class_names(self.data['classes'])

    @property
    def test_splits(self) -> Tuple[str, ...]:
        """Splits of the manifest that are tested."""
        test = self.data.get('test') or 'test'
        return (test,) if isinstance(test, str) else tuple(test)


def read_segmentation_protocol(
    config: Union[str, Path, Config],
    options: Optional[dict] = None,
    only: Optional[Sequence[str]] = None,
    **overrides,
) -> SegmentationProtocol:
    """Read a benchmark from a config (``configs/benchmarks/segmentation_*.py``).

    Args:
        config (str | Path | Config): Its keys are the attributes of :class:`SegmentationProtocol`;
            ``methods`` is a dict name -> attributes of :class:`Method`.
        options (dict, optional): Overrides of the config, as of ``--cfg-options``.
        only (Sequence[str], optional): Names of the methods to keep.
        **overrides: Attributes of the protocol; None leaves the config's.

    Raises:
        FileNotFoundError: No such config, or no such config of a method.
        ProtocolError: A key that does not exist, or see :class:`SegmentationProtocol`.
    """
    config, values = read_settings(
        SegmentationProtocol, config, options, overrides, 'segmentation benchmark'
    )
    for f in fields(SegmentationProtocol):
        if 'Tuple' in str(f.type) and isinstance(values.get(f.name), list):
            values[f.name] = tuple(values[f.name])
    for key in ('data', 'methods'):
        if key not in values:
            raise ProtocolError(f'{config.filename}: {key} is missing')
    # JSON and config files know text keys only.
    methods = []
    for name, given in values['methods'].items():
        given = {key: value for key, value in given.items() if value is not None}
        for key in ('config', 'full_config'):
            if key in given:
                given[key] = find_beside(given[key], config)
                if not Path(given[key]).is_file():
                    raise FileNotFoundError(f'method {name!r}: {key} {given[key]} does not exist')
        given['sizes'] = {int(size): own for size, own in (given.get('sizes') or {}).items()}
        methods.append(spec_of(Method, f'method {name!r}', given, name=name))
    if only:
        names = [method.name for method in methods]
        missing = [name for name in only if name not in names]
        if missing:
            raise ProtocolError(f'--only {missing[0]!r}: the methods are {names}')
        methods = [method for method in methods if method.name in only]
        shown = {method.shown for method in methods}
        if values.get('baseline') and not set(values['baseline']) <= shown:
            values['baseline'] = None
    values['methods'] = tuple(methods)
    return SegmentationProtocol(**values)
