"""Synthetic images that are there already: which are used, what is behind them, what they leak."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from cellgan_plugin.benchmark import shortcuts
from cellgan_plugin.benchmark.fold_plan import FoldPlan, Sample
from cellgan_plugin.benchmark.leak import LeakReport, check_leak, near_copies, seen_beyond
from cellgan_plugin.benchmark.origins import groups_behind, images_behind
from cellgan_plugin.benchmark.rows import Generator, slug
from cellgan_plugin.benchmark.synthetic import HashCache, read_folder
from cellgan_plugin.datasets.content_hash import to_hex
from cellgan_plugin.records import digest_of


@dataclass(frozen=True)
class FolderImages:
    """Images of a folder, for one fold or all.

    Attributes:
        part (dict): Arguments of a data set: ``data_root``, ``ann_file``, ``follow_links``.
        listing (tuple): What ``ann_file`` has to say: its path, files, labels.
        contents (list[tuple[int, str]]): Label and hash of every image.
        identity (dict): What decides which images these are.
        notes (list[str]): What a reader has to know.
        report (LeakReport): What they share with test images.
    """

    part: Dict[str, Any]
    listing: Tuple[Path, List[str], List[str]]
    contents: List[Tuple[int, str]]
    identity: Dict[str, Any]
    notes: List[str]
    report: LeakReport

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.contents)


class FolderReader:
    """Reads folders of synthetic images.

    Args:
        plan (FoldPlan): Folds of the real images.
        samples (Sequence[Sample]): All real images, also those that were not drawn.
        cache (HashCache): Hashes of image contents.
        lists (Path): Folder of the lists.
        pools (bool): Whether images are candidates, of which rows choose: then all that are asked
            for have to be there.
    """

    def __init__(
        self,
        plan: FoldPlan,
        samples: Sequence[Sample],
        cache: HashCache,
        lists: Path,
        pools: bool,
    ):
        self.plan, self.samples, self.cache = plan, samples, cache
        self.lists, self.pools = lists, pools

    def read(
        self, generator: Generator, wanted: Sequence[int], fold: Optional[int] = None
    ) -> FolderImages:
        """Read the images of a generator.

        Args:
            generator (Generator): With a ``folder``.
            wanted (Sequence[int]): Images of each class.
            fold (int, optional): The only fold that they serve. Defaults to None: all.

        Raises:
            DatasetError, ProtocolError: See
                :func:`~cellgan_plugin.benchmark.synthetic.read_folder`.
        """
        name, end = generator.name, ''
        if fold is not None:
            generator, end = generator.of_fold(fold), f'_fold{fold + 1}'
        found = read_folder(generator, self.plan.classes, wanted, self.cache, self.pools)
        files = [patch.file for patch in found.patches]
        labels = [self.plan.classes[patch.label] for patch in found.patches]
        hashes = to_hex(found.hashes)
        list_file = self.lists / f'{"pool" if self.pools else "synthetic"}_{slug(name)}{end}.csv'
        paths = [os.path.join(found.root, file) for file in files]
        notes, trained_on = (
            list(found.notes),
            images_behind(generator, found.root, hashes, self.cache),
        )
        if generator.trained_on != 'itself':
            notes += shortcuts.of_folder(name, self.samples, paths)
            notes += seen_beyond(self.plan, name, trained_on, fold)
        shown = self.cache.perceptual(paths, f'Hashing images of {name}')
        near = near_copies(self.plan, shown, self.cache)

        def leaks(trained_on, groups) -> LeakReport:
            return check_leak(self.plan, name, trained_on, fold, self.samples, groups, near)

        if trained_on is None and leaks(set(hashes), set()).found:
            trained_on = set()  # what is known is bad enough, and can be shown
        if trained_on is not None:
            # A test image among the synthetic ones is a leak whoever made the folder.
            trained_on |= set(hashes)
        return FolderImages(
            part=dict(
                data_root=found.root,
                ann_file=str(list_file.absolute()),
                follow_links=generator.follow_links,
            ),
            listing=(list_file, files, labels),
            contents=[(p.label, content) for p, content in zip(found.patches, hashes, strict=True)],
            identity=dict(
                images=len(files), digest=digest_of(sorted(zip(labels, hashes, strict=True)))
            ),
            notes=notes,
            report=leaks(trained_on, groups_behind(generator, found)),
        )
