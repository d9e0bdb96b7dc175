"""Evaluating images that were made from masks: distance to real ones, and how they vary."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Protocol, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from cellgan_plugin.evaluation.extractors import FeatureExtractor
from cellgan_plugin.evaluation.frechet import frechet_distance
from cellgan_plugin.evaluation.progress import main_progress
from cellgan_plugin.evaluation.segmentation import sample_similarity
from cellgan_plugin.models.data_preprocessor import to_uint8
from cellgan_plugin.randomness import derive_seed, rng_for

_SEED_RANGE = 2**31


class MaskGenerator(Protocol):
    """A model that makes images from masks."""

    def generate(self, masks: Tensor, seeds: Sequence[int]) -> Tensor:
        """Class ids (N, H, W) to RGB images (N, 3, H, W) in [-1, 1], one seed each."""


@dataclass(frozen=True)
class GenerationScores:
    """What Table 1 and Sec. 4.2.2 of Li et al. 2022 report.

    Attributes:
        distance (str): Name of the Frechet distance, e.g. ``'FD (ResNet)'``.
        fd (float): Between the images of the masks and the real images of the same masks.
        fd_originals (float): Between two random halves of the real images; of half as many images
            a side, which makes it larger.
        images (int): Real images, and generated ones: one per mask.
        among (float): Mean MS-SSIM between samples of one mask.
        to_original (float): Mean MS-SSIM between samples and the real image of their mask.
        scales (int): Of MS-SSIM.
        masks (int): Masks that were sampled several times.
        samples (int): Samples of each.
    """

    distance: str
    fd: float
    fd_originals: float
    images: int
    among: float
    to_original: float
    scales: int
    masks: int
    samples: int

    def as_dict(self) -> Dict[str, Any]:
        """Plain JSON values."""
        return dict(vars(self))


def image_seed(seed: int, pair: int, sample: int) -> int:
    """Seed of one sample of one mask, below 2**31."""
    return derive_seed(seed, 'mask sample', pair, sample) % _SEED_RANGE


def evaluate_generated(
    model: MaskGenerator,
    pairs: Sequence[Tuple[Tensor, Tensor]],
    extractor: FeatureExtractor,
    similarity_masks: int = 10,
    similarity_samples: int = 10,
    batch_size: int = 8,
    seed: int = 0,
    keep: int = 0,
) -> Tuple[GenerationScores, List[Tensor]]:
    """Make an image of every mask and compare.

    Memory: one batch of images and all features.

    Args:
        model (MaskGenerator): In evaluation mode.
        pairs (Sequence[tuple[Tensor, Tensor]]): Real images, uint8 (3, H, W), and their masks,
            class ids (H, W).
        extractor (FeatureExtractor): The features of the Frechet distance.
        similarity_masks (int): Masks, spread over ``pairs``, that are sampled several times.
            Defaults to 10.
        similarity_samples (int): Samples of each (Sec. 4.2.2). Defaults to 10.
        batch_size (int): Images at a time. Defaults to 8.
        seed (int): Of the noise. Defaults to 0.
        keep (int): How many generated images to return. Defaults to 0.

    Returns:
        tuple[GenerationScores, list[Tensor]]: Scores, and uint8 images (3, H, W).

    Raises:
        ValueError: Fewer than four pairs.
    """
    if len(pairs) < 4:
        raise ValueError(
            f'{len(pairs)} pairs of image and mask; at least 4 are needed for a distance'
        )
    real: List[Tensor] = []
    fake: List[Tensor] = []
    kept: List[Tensor] = []
    starts = range(0, len(pairs), batch_size)
    for start in main_progress(starts, len(starts), 'Images of masks'):
        batch = [pairs[i] for i in range(start, min(start + batch_size, len(pairs)))]
        seeds = [image_seed(seed, start + i, 0) for i in range(len(batch))]
        images = to_uint8(
            model.generate(torch.stack([mask for _, mask in batch]).long(), seeds)
        ).cpu()
        real.append(extractor.of_images([image for image, _ in batch]).cpu())
        fake.append(extractor.of_images(list(images)).cpu())
        kept += list(images)[: max(0, keep - len(kept))]
    real_features, fake_features = torch.cat(real).numpy(), torch.cat(fake).numpy()
    order = rng_for(seed, 'halves of the originals').permutation(len(real_features))
    half = len(order) // 2
    similarities = []
    step = max(1, len(pairs) // max(1, similarity_masks))
    for index in list(range(0, len(pairs), step))[:similarity_masks]:
        image, mask = pairs[index]
        seeds = [image_seed(seed, index, sample) for sample in range(similarity_samples)]
        samples = [
            model.generate(mask.long().expand(len(part), -1, -1), part).cpu()
            for part in (seeds[i : i + batch_size] for i in range(0, len(seeds), batch_size))
        ]
        similarities.append(sample_similarity(to_uint8(torch.cat(samples)), image))
    scores = GenerationScores(
        extractor.frechet_name,
        float(frechet_distance(real_features, fake_features)),
        float(frechet_distance(real_features[order[:half]], real_features[order[half:]])),
        len(pairs),
        _mean([one.among for one in similarities]),
        _mean([one.to_original for one in similarities]),
        similarities[0].scales if similarities else 0,
        len(similarities),
        similarity_samples,
    )
    return scores, kept


def _mean(values: Sequence[Optional[float]]) -> float:
    return float(np.mean([v for v in values if v is not None])) if values else float('nan')
