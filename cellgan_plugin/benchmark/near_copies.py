"""The same picture twice among real images: flipped, turned, saved as JPEG, or resized."""

from collections import defaultdict
from dataclasses import replace
from typing import Dict, List, Sequence, Set, Tuple

import numpy as np

from cellgan_plugin.benchmark.fold_plan import Sample
from cellgan_plugin.benchmark.synthetic import HashCache
from cellgan_plugin.datasets.perceptual_hash import NEAR, near_components, near_limit

# All pairs are compared: a minute of one core for so many images.
MOST = 30_000


def join_near_copies(samples: Sequence[Sample], cache: HashCache) -> Tuple[List[Sample], List[str]]:
    """Find images that are near copies of each other, so that folds keep them on one side.

    Args:
        samples (Sequence[Sample]): All real images.
        cache (HashCache): Knows what they show.

    Returns:
        tuple: The samples in their order, with ``near``, and notes on what could not be looked at.
    """
    samples = list(samples)
    first: Dict[str, int] = {}
    for index, sample in enumerate(samples):
        first.setdefault(sample.content, index)
    if len(first) > MOST:
        return samples, [
            f'near copies among {len(first)} real images were not looked for (more than {MOST}): '
            'of copies, those with equal pixels alone stay together'
        ]
    if len(first) < 2:
        return samples, []
    # In an order that no listing decides: the first of a set names it.
    contents = sorted(first)
    files = [samples[first[content]].file for content in contents]
    shown = cache.perceptual(files, 'Hashing real images')
    limit = near_limit(shown)
    component = near_components(shown, limit)
    notes = []
    if limit < NEAR:
        notes.append(
            f'the real images resemble each other so much that only those that differ in {limit} '
            f'of 255 bits of the perceptual hash or less are called near copies ({NEAR} elsewhere)'
        )
    of = {
        content: contents[index]
        for number, (content, index) in enumerate(zip(contents, component.tolist(), strict=True))
        if index != number
    }
    return [replace(s, near=of[s.content]) if s.content in of else s for s in samples], notes


def said_of_near_copies(samples: Sequence[Sample], classes: Sequence[str]) -> List[str]:
    """Notes on near copies among the images of a plan; none where there are none."""
    contents: Dict[str, Set[str]] = defaultdict(set)
    labels: Dict[str, Dict[int, str]] = defaultdict(dict)
    for sample in samples:
        contents[sample.picture].add(sample.content)
        labels[sample.picture].setdefault(sample.label, sample.file)
    near = int(np.sum([len(same) - 1 for same in contents.values()], dtype=np.int64))
    if not near:
        return []
    notes = [
        f'{near} of {len(samples)} images are near copies of another one (flipped, turned, saved '
        'as JPEG or resized, by the perceptual hash); near copies stay on one side'
    ]
    torn = [found for found in labels.values() if len(found) > 1]
    if torn:
        pair = list(torn[0].items())[:2]
        said = ' and '.join(f'{file} ({classes[label]})' for label, file in pair)
        notes.append(f'{len(torn)} of these pictures are in two classes, for example {said}')
    return notes
