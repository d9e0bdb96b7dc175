"""How far a segmenter's confidence is from how often it is right, as sums over pixels."""

import torch
from torch import Tensor

from cellgan_plugin.datasets.segmentation_labels import IGNORE_INDEX

BINS = 15  # Guo et al. 2017, Sec. 5


def calibration_sums(probabilities: Tensor, masks: Tensor) -> Tensor:
    """Count pixels, confidence, hits and negative log-likelihood by the confidence of a pixel.

    Sums of images add up: those of a test set are the sum over its images.

    Args:
        probabilities (Tensor): (K, H, W), sums to 1 over the classes.
        masks (Tensor): True class ids (H, W), any integer type; 255 for pixels without a class.

    Returns:
        Tensor: float64 (15, 4) on the CPU, for equal intervals of the confidence, the largest
        probability: pixels, their confidence, how many are right, and their negative log-likelihood
        (nats).
    """
    known = masks != IGNORE_INDEX
    flat = probabilities.float()[:, known]
    true = masks[known].long()
    confidence, predicted = flat.max(dim=0)
    likelihood = flat.gather(0, true[None])[0].clamp(min=torch.finfo(torch.float32).tiny)
    rows = torch.stack(
        [
            torch.ones_like(confidence),
            confidence,
            (predicted == true).float(),
            -likelihood.log(),
        ],
        dim=1,
    ).double()
    # The interval (a, b] holds b; rounding of a softmax may pass 1.
    index = ((confidence * BINS).ceil() - 1).clamp(0, BINS - 1).long()
    sums = torch.zeros(BINS, 4, dtype=torch.float64, device=rows.device)
    return sums.index_add_(0, index, rows).cpu()
