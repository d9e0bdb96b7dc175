"""Scores of a pool of candidates, saved while they are computed and read again by the next call."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch

from cellgan_plugin.datasets.content_hash import content_hashes, image_hashes, merge_hashes
from cellgan_plugin.datasets.perceptual_hash import near_limit, nearest_by_hash
from cellgan_plugin.datasets.views import ALL_VIEWS, check_views
from cellgan_plugin.errors import explained_output_errors
from cellgan_plugin.evaluation.neighbours import nearest_training_neighbours
from cellgan_plugin.files import read_arrays, write_arrays
from cellgan_plugin.models.mc_dropout import SplitBackbone
from cellgan_plugin.records import digest_of
from cellgan_plugin.selection.centroids import Centroids
from cellgan_plugin.selection.extractor import McDropoutClassifier
from cellgan_plugin.selection.image_tree import ImageTree, SelectionError
from cellgan_plugin.selection.scores import CandidateScores
from cellgan_plugin.selection.scoring import compute_centroids, pooled_features, score_candidates
from cellgan_plugin.selection.stream import ImageStream


@dataclass(frozen=True)
class ScoreSettings:
    """What the scores depend on besides images and network.

    Attributes:
        passes (int): K of Eq. (6).
        seed (int): Of masks, draws and ties.
        layers (tuple[int | str] | None): In the distance: stages (3), residual blocks of a stage
            ('3.2', counted from 1), or 'blocks' for all blocks. A stage among blocks is its last
            block. None: all stages.

    Raises:
        SelectionError: A setting that cannot be.
    """

    passes: int = 5
    seed: int = 0
    layers: Optional[Tuple[Union[int, str], ...]] = None

    def __post_init__(self):
        if self.passes < 1:
            raise SelectionError(f'passes {self.passes}: at least one')
        if self.layers is None:
            return
        wrong = [
            n for n in map(str, self.layers) if not re.fullmatch(r'blocks|[1-9]\d*(\.[1-9]\d*)?', n)
        ]
        if wrong or not self.layers:
            raise SelectionError(
                f"layers {self.layers}: stages count from 1, blocks are '3.2' or all 'blocks', and "
                'at least one is needed'
            )

    @property
    def of_blocks(self) -> bool:
        """Whether blocks are named, and not stages alone."""
        return any(name == 'blocks' or '.' in name for name in map(str, self.layers or ()))

    def check_network(
        self, network: Union[McDropoutClassifier, SplitBackbone]
    ) -> Optional[List[int]]:
        """Which maps of a network the layers are.

        Args:
            network (McDropoutClassifier | SplitBackbone): Set to give the maps of all blocks where
                blocks are named.

        Returns:
            list[int] | None: Numbers of its maps from 0; None: all.

        Raises:
            SelectionError: A stage or block that it does not have.
        """
        if self.layers is None:
            return None
        network.set_blocks(self.of_blocks)
        names = network.map_names
        found = []
        for name in map(str, self.layers):
            if name == 'blocks':
                return None
            of_stage = [n for n in names if n == name or n.startswith(f'{name}.')]
            if not of_stage:
                kind = 'blocks' if self.of_blocks else 'stages'
                raise SelectionError(f'layers {self.layers}: there are {kind} {", ".join(names)}')
            found.append(names.index(of_stage[-1]))
        return sorted(set(found))


class PoolScorer:
    """Scores one pool against the real training images, each candidate once.

    Args:
        network (McDropoutClassifier): On its device.
        pool (ImageTree): The candidates.
        training (ImageTree): The real training images.
        settings (ScoreSettings): Passes, seed, stages.
        batch_size (int): Images at a time.
        cache_dir (str | Path): Scores are saved in a folder below, named by the hash of everything
            that they depend on.
        views (Sequence[str]): Of a real image that a copy may show
            (:mod:`cellgan_plugin.datasets.views`). Defaults to all eight.

    Attributes:
        candidates (ImageStream): The pool's pixels.
        real (ImageStream): Those of the real images.
    """

    def __init__(
        self,
        network: McDropoutClassifier,
        pool: ImageTree,
        training: ImageTree,
        settings: ScoreSettings,
        batch_size: int,
        cache_dir: Union[str, Path],
        views: Sequence[str] = ALL_VIEWS,
    ):
        self.views = check_views(views)
        self._layers = settings.check_network(network)
        self.network, self.pool, self.training, self.settings = network, pool, training, settings
        self.candidates, self.real = (
            ImageStream(tree.reader, tree.files, network.input_size, batch_size)
            for tree in (pool, training)
        )
        self.made_from = dict(
            network=network.fingerprint,
            input_size=network.input_size,
            settings=asdict(settings),
            candidates=pool.digest(),
            real=training.digest(),
        )
        self.save_dir = Path(cache_dir).expanduser() / digest_of(self.made_from)[:16]
        self._centroids: Optional[Centroids] = None
        self._arrays: Dict[str, np.ndarray] = {}

    def scores(self) -> CandidateScores:
        """One entry per candidate, in the pool's order."""
        with explained_output_errors(self.save_dir):
            return score_candidates(
                self.network,
                self.centroids,
                self.candidates,
                self.pool.labels,
                self.settings.passes,
                self.settings.seed,
                self._layers,
                self.save_dir,
            )

    def centroids(self) -> Centroids:
        """Centroids of the real images, computed or read when they are first asked for."""
        path = self.save_dir / 'centroids.npz'
        if self._centroids is None and (arrays := read_arrays(path)) is not None:
            count = len(arrays) - 2
            stages = [torch.from_numpy(arrays[f'stage_{i}']) for i in range(count)]
            plain = torch.from_numpy(arrays['plain'])
            counts = torch.from_numpy(arrays['counts'])
            self._centroids = Centroids(stages, counts, plain).to(self.network.device)
        if self._centroids is None:
            found = compute_centroids(
                self.network, self.real, self.training.labels, self.settings.seed
            )
            stages = {f'stage_{i}': stage.cpu().numpy() for i, stage in enumerate(found.maps)}
            write_arrays(
                path,
                counts=found.counts.cpu().numpy(),
                plain=found.plain.cpu().numpy(),
                **stages,
            )
            self._centroids = found
        return self._centroids

    def real_hashes(self) -> np.ndarray:
        """Hashes of the real images' contents, uint8 (N, 16); computed once and saved."""
        files = [self.training.root / file for file in self.training.files]
        hashes = self._saved(
            'real_hashes', 'hashes', lambda: content_hashes(files, title='Hashing real images')
        )
        return merge_hashes(hashes)

    def features(self) -> np.ndarray:
        """Features of the candidates, float32 (n, d), computed once and saved.

        See :func:`~cellgan_plugin.selection.scoring.pooled_features`.
        """
        return self._saved(
            'features',
            'features',
            lambda: pooled_features(self.network, self.candidates, 'Features, candidates'),
        )

    def memorised(self, classes: Sequence[str]) -> np.ndarray:
        """Which candidates are copies of real images, in any view: bool (n,).

        By the features among those of their class, by the perceptual hash among all.

        Raises:
            SelectionError: A class has a single real image.
        """
        name = f'copies_{digest_of(list(self.views))[:8]}'
        return self._saved(name, 'memorised', lambda: self._find_copies(classes))

    def _find_copies(self, classes: Sequence[str]) -> np.ndarray:
        fake = self.features()
        real = pooled_features(self.network, self.real, 'Features, real', self.views)
        real = real.reshape(len(self.training.files), len(self.views), -1)
        found = np.zeros(len(fake), dtype=bool)
        for label in np.unique(self.pool.labels):
            own, base = self.pool.labels == label, real[self.training.labels == label]
            if len(base) < 2:
                raise SelectionError(
                    f'class {classes[label]} has {len(base)} real image: copies of training images '
                    'are found from two on. Leave --drop-memorised out, or add images'
                )
            base = base.reshape(-1, base.shape[2])
            copies = nearest_training_neighbours(fake[own], base, views=len(self.views))
            found[own] = copies.memorised
        shown = [
            image_hashes([tree.root / file for file in tree.files], f'Hashing {what}')[1]
            for tree, what in ((self.pool, 'candidates'), (self.training, 'real images'))
        ]
        _, bits = nearest_by_hash(*shown, self.views)
        found |= bits <= near_limit(np.unique(shown[1], axis=0))
        return found

    def _saved(self, name: str, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """What an earlier call computed, in this process or another, or is computed now."""
        if name not in self._arrays:
            path = self.save_dir / f'{name}.npz'
            arrays = read_arrays(path)
            if arrays is None:
                arrays = {key: compute()}
                with explained_output_errors(self.save_dir):
                    write_arrays(path, **arrays)
            self._arrays[name] = arrays[key]
        return self._arrays[name]
