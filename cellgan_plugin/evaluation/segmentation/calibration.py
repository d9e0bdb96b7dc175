"""Calibration of a segmenter: expected calibration error and negative log-likelihood."""

from dataclasses import dataclass
from typing import Dict

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """What the sums of :func:`~cellgan_plugin.models.calibration.calibration_sums` say.

    Attributes:
        ece (float): Expected calibration error (Guo et al. 2017, Eq. 3): the distance of accuracy
            and confidence within an interval of the confidence, averaged over pixels. In [0, 1].
        nll (float): Mean negative log-likelihood of the true class, nats a pixel.
        confidence (float): Mean of the largest probability.
        accuracy (float): Share of pixels that are right.

    All NaN for no pixels.
    """

    ece: float
    nll: float
    confidence: float
    accuracy: float

    def as_dict(self) -> Dict[str, float]:
        """``ECE`` and ``NLL``, the scores that tables show."""
        return dict(ECE=self.ece, NLL=self.nll)


def calibration_of(sums: np.ndarray) -> Calibration:
    """Scores from sums over pixels, float64 (bins, 4), of one image or added up over many.

    The columns are pixels, confidence, hits and negative log-likelihood.
    """
    sums = np.asarray(sums, dtype=np.float64)
    if sums.ndim != 2 or sums.shape[1] != 4:
        raise ValueError(f'sums of calibration are (bins, 4), got shape {sums.shape}')
    pixels, confidence, hits, nll = sums.sum(axis=0)
    if not pixels:
        return Calibration(*[float('nan')] * 4)
    return Calibration(
        ece=float(np.abs(sums[:, 2] - sums[:, 1]).sum() / pixels),
        nll=float(nll / pixels),
        confidence=float(confidence / pixels),
        accuracy=float(hits / pixels),
    )
