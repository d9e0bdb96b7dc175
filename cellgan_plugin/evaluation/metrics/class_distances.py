"""The metric: distances between real and generated images, class by class."""

import logging
import time
from dataclasses import fields
from typing import Any, Dict, List, Optional, Sequence, Union

import torch
from mmagic.models.base_models import BaseConditionalGAN
from mmagic.registry import DATASETS, METRICS
from mmengine.dist import broadcast_object_list, get_world_size, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import Tensor, nn
from torch.utils.data import DataLoader

from cellgan_plugin.datasets.perceptual_hash import PERCEPTUAL_BYTES, perceptual_hashes
from cellgan_plugin.datasets.views import ALL_VIEWS, check_views
from cellgan_plugin.errors import check_known
from cellgan_plugin.evaluation.class_table import (
    HALVES,
    ClassRow,
    class_floors,
    class_table,
    find_copies,
)
from cellgan_plugin.evaluation.extractor_accuracy import ExtractorAccuracy, extractor_accuracy
from cellgan_plugin.evaluation.extractors import FeatureExtractor, build_extractor
from cellgan_plugin.evaluation.features import (
    FeatureSet,
    channel_order_of,
    drop_tail,
    gather_rows,
    pack_rows,
    split_hashes,
    with_hashes,
)
from cellgan_plugin.evaluation.memorisation import CopySearch
from cellgan_plugin.evaluation.metrics.sampler import ClassSampler, FakeNums, numbers_per_class
from cellgan_plugin.evaluation.neighbours import TrainingNeighbours
from cellgan_plugin.evaluation.statistics_cache import real_features
from cellgan_plugin.evaluation.table_distances import TableOptions
from cellgan_plugin.version import __version__
from cellgan_plugin.visualization.tables import text_table


@METRICS.register_module()
class ClassDistances(BaseMetric):
    """Frechet distance (FID), kernel distance and their kin per class, their mean, and pooled.

    For MMagic's ``MultiValLoop`` / ``MultiTestLoop`` and any of its GANs::

        val_cfg = dict(type='MultiValLoop')
        val_dataloader = dict(...)  # the real images
        val_evaluator = dict(type='Evaluator', metrics=[dict(
            type='ClassDistances', extractor=dict(type='InceptionFeatures'))])

    All images are generated in one pass, rounded to uint8 as a saved PNG holds them, and turned
    into features once; every distance comes from those. The result does not depend on batch size
    or number of ranks but for rounding of the networks. Several of these metrics (other
    extractors, say) with the same sampling share the pass.

    Values are named ``<metric>/<class>``, ``<metric>/mean`` and ``<metric>/pooled``; what cannot
    be computed is absent there and explained in :attr:`report`.

    Args:
        extractor (dict | FeatureExtractor): The features. Built at once, so that missing weights
            stop a run before it trains.
        fake_nums (str | int | dict): Generated images per class; ``'match'``: as many as real ones
            (the authors' protocol). Defaults to 'match'.
        distances (Sequence[str]): Of 'fd', 'kid', 'prdc', 'fd_inf' and registered ones. Defaults
            to ('fd',).
        options (dict, optional): Further options of :class:`TableOptions`.
        memorisation (dict, optional): ``dict(training=<config of the training data set>)``, or
            ``dict(training='real')`` where the real images are those trained on. Other real images
            calibrate it as held-out ones. ``views=[...]`` are the views of a training image that a
            copy may show (:mod:`cellgan_plugin.datasets.views`): where they are not said, the
            plugin's programs take those of the training pipeline, else all eight. Defaults to None.
        sample_model (str, optional): 'ema' or 'orig'. Defaults to None: 'ema' where the model has
            it.
        sample_kwargs (dict, optional): For the generator, e.g. a truncation.
        seed (int): Of the noise. Defaults to 0.
        batch_size (int, optional): Defaults to None: that of the data loader.
        fake_channel_order (str, optional): 'RGB' or 'BGR', what ``fake_img`` is. Defaults to None:
            found out from the model's data preprocessor and the real images.
        authors_arithmetic (bool): Compute as the authors' CellGAN program does: images in [0, 1]
            into Inception, the last partial batch of each class dropped on both sides (``batch_
            size`` images a batch). Give the training images as real ones. The numbers are named
            so, and cannot be compared with FID. Defaults to False.
        cache_dir (str, optional): Of the real features. Defaults to None: the environment variable
            ``CELLGAN_FEATURE_CACHE``, else ``work_dirs/feature_cache``.
        prefix (str, optional): Put before the names. Defaults to None.

    Raises:
        FileNotFoundError: Weights of the extractor are missing.
        ValueError: Options that do not fit.
    """

    default_prefix = ''
    # Read by MMagic's evaluator.
    need_cond_input = True

    def __init__(
        self,
        extractor: Union[dict, FeatureExtractor],
        fake_nums: FakeNums = 'match',
        distances: Sequence[str] = ('fd',),
        options: Optional[dict] = None,
        memorisation: Optional[dict] = None,
        sample_model: Optional[str] = None,
        sample_kwargs: Optional[dict] = None,
        seed: int = 0,
        batch_size: Optional[int] = None,
        fake_channel_order: Optional[str] = None,
        authors_arithmetic: bool = False,
        cache_dir: Optional[str] = None,
        prefix: Optional[str] = None,
    ):
        super().__init__(prefix=prefix)
        if sample_model not in (None, 'ema', 'orig'):
            raise ValueError(f"sample_model={sample_model!r}: 'ema', 'orig' or None")
        if fake_channel_order not in (None, 'RGB', 'BGR'):
            raise ValueError(f"fake_channel_order={fake_channel_order!r}: 'RGB', 'BGR' or None")
        if memorisation is not None and not memorisation.get('training'):
            raise ValueError(
                "memorisation needs training=<config of the training data set>, or 'real'"
            )
        if memorisation is not None:
            check_known('memorisation', memorisation, {'training', 'views'})
            check_views(memorisation.get('views') or ())
        numbers_per_class(fake_nums if not isinstance(fake_nums, dict) else 'match', [], [])
        check_known('options', options or {}, {f.name for f in fields(TableOptions)})
        self.options = TableOptions(distances=tuple(distances), **{'seed': seed, **(options or {})})
        self.fake_nums = dict(fake_nums) if isinstance(fake_nums, dict) else fake_nums
        self.memorisation = memorisation
        self.sample_model = sample_model
        self.sample_kwargs = dict(sample_kwargs or {})
        self.seed = seed
        self.batch_size = batch_size
        self.fake_channel_order = fake_channel_order
        self.authors_arithmetic = authors_arithmetic
        self.cache_dir = cache_dir
        self.extractor = build_extractor(extractor)
        if authors_arithmetic:
            self.extractor.use_authors_arithmetic()
        # MMagic groups metrics by this name: those that ask for the same images share them.
        self.SAMPLER_MODE = f'classes {fake_nums} {seed} {batch_size} {self.sample_kwargs}'
        self.real: Optional[FeatureSet] = None
        self.accuracy: Optional[ExtractorAccuracy] = None
        self.copies: Optional[CopySearch] = None
        self.conditional = True
        self.numbers: List[int] = []
        self.report: Optional[Dict[str, Any]] = None
        self._started = 0.0
        self._floors: Optional[List[Dict[str, float]]] = None

    # Real images --------------------------------------------------------------------------------

    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """Get the real features; MMagic's loop calls this once, on every rank.

        Args:
            module (nn.Module): The model to evaluate.
            dataloader (DataLoader): Of the real images; its batches are not used.

        Raises:
            ValueError: The data set has no class names, or no ``ema`` where it is asked for.
        """
        module = module.module if is_model_wrapper(module) else module
        dataset = dataloader.dataset
        if not dataset.metainfo.get('classes'):
            raise ValueError(
                'val_dataloader.dataset has no class names: give metainfo=dict(classes=[...])'
            )
        self.extractor.to(next(module.parameters()).device)
        self.batch_size = self.batch_size or dataloader.batch_size or 32
        has_ema = bool(getattr(module, 'with_ema_gen', False))
        if self.sample_model == 'ema' and not has_ema:
            raise ValueError("sample_model='ema', but the model has no EMA: say 'orig'")
        self.sample_model = self.sample_model or ('ema' if has_ema else 'orig')
        self.conditional = isinstance(module, BaseConditionalGAN)
        self._check_classes(module, dataset)
        self._find_channel_order(module, dataset)
        read = dict(
            extractor=self.extractor,
            cache_dir=self.cache_dir,
            batch_size=self.batch_size,
            num_workers=dataloader.num_workers,
        )
        self.real = real_features(dataset, **read)
        if is_main_process():
            self.accuracy = extractor_accuracy(self.extractor, self.real, dataset)
        if self.memorisation is not None:
            training = self.memorisation['training']
            views = check_views(self.memorisation.get('views') or ALL_VIEWS)
            held_out = None if training == 'real' else self.real
            if training == 'real':
                training = dataset
            elif isinstance(training, dict):
                training = DATASETS.build(training)
            self.copies = CopySearch(
                real_features(training, **read, what='training images in their views', views=views),
                views,
                held_out,
                self.options.memorisation_quantile,
            )
        # The first rank alone is sure to have the labels.
        counts = [list(self.real.counts().values())]
        broadcast_object_list(counts)
        self.numbers = numbers_per_class(self.fake_nums, counts[0], self.real.classes)

    def _check_classes(self, module: nn.Module, dataset) -> None:
        known, count = getattr(module, 'num_classes', None), len(dataset.metainfo['classes'])
        if self.conditional and known is not None and known != count:
            raise ValueError(
                f'the model has {known} classes, val_dataloader.dataset {count}: '
                f'{list(dataset.metainfo["classes"])}. Give both the same classes in the same order'
            )
        self.extractor.check_classes(dataset.metainfo['classes'])

    def _find_channel_order(self, module: nn.Module, dataset) -> None:
        if self.fake_channel_order is not None or not len(dataset):
            return
        # What the model works in: what its preprocessor converts to, else what it was given.
        order = getattr(module.data_preprocessor, 'output_channel_order', None)
        order = order or channel_order_of(dataset[0]['data_samples'])
        probe = torch.tensor([0.5, 0.0, -0.5]).view(1, 3, 1, 1)
        shown = module.data_preprocessor.destruct(probe.to(next(module.parameters()).device))
        reversed_order = bool(shown.flatten()[0] < shown.flatten()[2])
        self.fake_channel_order = 'BGR' if (order == 'BGR') != reversed_order else 'RGB'

    # Generated images ---------------------------------------------------------------------------

    def get_metric_sampler(self, model: nn.Module, dataloader: DataLoader, metrics) -> ClassSampler:
        """What to generate; called by MMagic's loop before each evaluation."""
        module = model.module if is_model_wrapper(model) else model
        for metric in metrics:
            metric.results.clear()
            metric._started = time.perf_counter()
        return ClassSampler(
            self.numbers,
            module.noise_size,
            self.batch_size,
            self.sample_model,
            self.seed,
            self.sample_kwargs,
            self.conditional,
        )

    @torch.no_grad()
    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Features of one batch of generated images.

        Args:
            data_batch (GeneratedBatch): What was asked for.
            data_samples (Sequence[dict]): With ``fake_img`` (C, H, W), float in [0, 255].
        """
        images = [self._as_png(sample['fake_img']) for sample in data_samples]
        features = self.extractor.of_images(images)
        # A generator that has diverged must not be scored by what its NaN happen to be rounded to.
        finite = torch.stack([torch.isfinite(s['fake_img']).all() for s in data_samples])
        features[~finite.to(features.device)] = torch.nan
        labels, indices = zip(*data_batch.rows, strict=True)
        if self.memorisation is not None:
            features = with_hashes(features, perceptual_hashes(images))
        self.results.append(pack_rows(torch.tensor(labels), torch.tensor(indices), features))

    def _as_png(self, image: Tensor) -> Tensor:
        image = image.float().round().clamp(0, 255).nan_to_num().to(torch.uint8)
        return image.flip(0) if self.fake_channel_order == 'BGR' and len(image) == 3 else image

    # Distances ----------------------------------------------------------------------------------

    def evaluate(self, size: Optional[int] = None) -> Dict[str, float]:
        """Bring the features of all ranks together and compute the table on the first one.

        Returns:
            dict[str, float]: ``<metric>/<row>`` to value, on every rank.
        """
        hashed = PERCEPTUAL_BYTES if self.memorisation is not None else 0
        labels, features = gather_rows(self.results, self.extractor.feature_dim + hashed)
        found = (labels, *split_hashes(features)) if hashed else (labels, features)
        self.results.clear()
        values: List[Any] = [None]
        if is_main_process():
            rows = self.compute_metrics(found)
            values = [{f'{key}/{row.name}': v for row in rows for key, v in row.values.items()}]
            if self.prefix:
                values = [{f'{self.prefix}/{key}': v for key, v in values[0].items()}]
        broadcast_object_list(values)
        return values[0]

    def compute_metrics(self, results) -> List[ClassRow]:
        """The table of generated images; also sets :attr:`report`.

        Args:
            results (tuple): Labels (n,), features (n, d), and perhaps perceptual hashes (n, 32).
        """
        labels, features, *hashes = results
        real = self.real
        if self.authors_arithmetic:
            kept = [drop_tail(labels, part, self.batch_size) for part in (features, *hashes)]
            labels, features, hashes = kept[0][0], kept[0][1], [part for _, part in kept[1:]]
            kept = drop_tail(real.labels, real.features, self.batch_size)
            real = FeatureSet(kept[1], kept[0], real.classes, real.fingerprint, real.source)
        fake = FeatureSet(features, labels, real.classes, self.extractor.fingerprint, {}, *hashes)
        frechet, kernel = self.names
        copies = find_copies(fake, self.copies)
        if self._floors is None:  # of real images alone: the same at every evaluation of a run
            counts = list(fake.counts().values())
            self._floors = class_floors(real, counts, frechet, kernel, self.options)
        rows = class_table(real, fake, frechet, kernel, self.options, copies, self._floors)
        protocol = self.protocol()
        if isinstance(copies, TrainingNeighbours):
            protocol['memorised'] = self.copies.describe(copies)
            rows[-1].notes += self.copies.remarks(copies)
        if self.accuracy is not None:
            rows[-1].notes += self.accuracy.remarks()
        self.report = dict(
            protocol=protocol,
            rows=[row.as_dict() for row in rows],
            seconds=round(time.perf_counter() - self._started, 3),
        )
        level = logging.WARNING if any(row.notes for row in rows) else logging.INFO
        beside = '' if self.accuracy is None else f'; {self.accuracy}'
        text = f'{frechet}, generated against real images{beside}\n{text_table(rows)}'
        print_log(text, 'current', level)
        return rows

    @property
    def names(self) -> Sequence[str]:
        """Names of the Frechet and the kernel distance."""
        if self.authors_arithmetic:
            return "FID(authors' arithmetic)", "KID(authors' arithmetic)"
        return self.extractor.frechet_name, self.extractor.kernel_name

    def protocol(self) -> Dict[str, Any]:
        """How the numbers came about, as plain JSON values."""
        return dict(
            extractor=self.extractor.describe(),
            extractor_fingerprint=self.extractor.fingerprint,
            extractor_accuracy=None if self.accuracy is None else self.accuracy.as_dict(),
            real=self.real.source,
            fake_nums=self.fake_nums,
            sample_model=self.sample_model,
            sample_kwargs=repr(self.sample_kwargs),
            seed=self.seed,
            generated_images='rounded to uint8',
            distances=list(self.options.distances),
            k=self.options.k,
            floor=HALVES,
            authors_arithmetic=self.authors_arithmetic,
            dropped_tail_batch=self.batch_size if self.authors_arithmetic else None,
            ranks=get_world_size(),
            cellgan_plugin=__version__,
            torch=torch.__version__,
        )
