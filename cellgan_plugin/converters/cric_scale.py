"""Find the scale between annotated positions and image px, and prove it on the images.

The collection has been handed around at more than one image size, while its coordinates stayed in
the frame they were drawn in. A wrong scale cuts patches beside the nuclei and nothing fails. So
the images are asked: a nucleus is darker than what surrounds it. Each field becomes a map of how
dark a spot is against its surroundings, as a rank within that field (stain and lamp cancel out).
At the right scale, and at no other, the annotated positions are at the dark end of every field.
"""

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from cellgan_plugin.converters.common import ConverterError, some_of
from cellgan_plugin.randomness import rng_for

# A scale is accepted when the annotated spots are darker than this share of shifted ones, and
# further from chance than this many standard deviations. Matching fields of CRIC give 0.88 to
# 0.98; chance gives 0.5. Single fields with few nuclei scatter more and get a milder test.
MIN_DARKNESS, MIN_Z = 0.75, 5.0
FIELD_MIN_NUCLEI, FIELD_MIN_DARKNESS, FIELD_MIN_Z = 5, 0.7, 2.0
_SCALES = np.exp(np.arange(np.log(0.4), np.log(2.5), 0.0025))
_STEP = 2  # px per map cell
_SHIFTS = 200  # shifted copies of the positions, for comparison
# Evidence of a rank: a spot in the darkest 1 % says much more than one in the darkest 20 %.
_WEIGHT = -np.log2(1 - (np.arange(256) + 0.5) / 256)


class FieldEvidence(NamedTuple):
    """What one field says about a scale.

    Attributes:
        darkness (float): Mean rank (0..1, 1 is darkest) at the annotated positions.
        control (float): The same at positions shifted within the field: what chance gives.
        z (float): Their distance in standard deviations of the shifted ones.
        nuclei (int): Annotated nuclei.
        verdict (str): ``'match'``, ``'mismatch'`` or ``'too few nuclei'``.
    """

    darkness: float
    control: float
    z: float
    nuclei: int
    verdict: str


class ScaleEvidence(NamedTuple):
    """The scale (image px per annotation px) and what speaks for it.

    Attributes:
        scale (float): Multiply annotated coordinates by it.
        darkness (float): Mean rank at the annotated nuclei, over fields.
        control (float): The same at shifted positions.
        z (float): Their distance in standard deviations.
        elsewhere (float): The darkness that the median of all other scales gives (search only).
        fields (dict[str, FieldEvidence]): Each field by file name.
    """

    scale: float
    darkness: float
    control: float
    z: float
    elsewhere: Optional[float]
    fields: Dict[str, FieldEvidence]


def darkness_map(image: np.ndarray) -> np.ndarray:
    """Rank, uint8 (ceil(H / 2), ceil(W / 2)), of every second px of a uint8 RGB field.

    255 is darkest against its surroundings.
    """
    side = max(image.shape[:2])
    # About a nucleus (15 px in 1280) and about a cell (101 px), whatever the image was scaled to.
    near, far = (2 * max(1, round(side / d)) + 1 for d in (180, 26))
    grey = image.astype(np.float32).mean(2) if image.ndim == 3 else image.astype(np.float32)
    contrast = (cv2.blur(grey, (far, far)) - cv2.blur(grey, (near, near)))[::_STEP, ::_STEP]
    low, high = contrast.min(), contrast.max()
    levels = np.round((contrast - low) * (4095 / max(high - low, 1e-6))).astype(np.int64)
    histogram = np.bincount(levels.ravel(), minlength=4096)
    # Mid-ranks: a blank field gives 0.5 everywhere, which speaks for nothing.
    rank = (np.cumsum(histogram) - histogram / 2) / levels.size
    return np.floor(rank * 255.999).astype(np.uint8)[levels]


def _sample(ranks: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Ranks at image positions; those outside get the middle rank, which is no evidence."""
    row, column = np.rint(y / _STEP).astype(np.int64), np.rint(x / _STEP).astype(np.int64)
    height, width = ranks.shape
    inside = (row < height) & (column < width)
    found = ranks[np.minimum(row, height - 1), np.minimum(column, width - 1)]
    return np.where(inside, found, 127)


def _typical(values: Sequence[float], weights: Sequence[float]) -> np.ndarray:
    """Weighted median over the first axis: no single field, however crowded, decides."""
    values, weights = np.asarray(values, float), np.asarray(weights, float)
    order = np.argsort(values, axis=0, kind='stable')
    cumulative = np.cumsum(weights[order], axis=0)
    pick = (cumulative >= cumulative[-1] / 2).argmax(0)
    return np.take_along_axis(
        np.take_along_axis(values, order, 0), np.expand_dims(pick, 0), 0
    ).squeeze(0)


def find_scale(
    maps: Mapping[str, np.ndarray],
    positions: Mapping[str, np.ndarray],
    scale: Optional[float] = None,
) -> ScaleEvidence:
    """Search the scale, or check a given one.

    Args:
        maps (Mapping[str, np.ndarray]): Of :func:`darkness_map`, by field.
        positions (Mapping[str, np.ndarray]): Annotated (x, y) of shape (N, 2), by field.
        scale (float, optional): Evaluate this scale instead of searching 0.4 to 2.5.

    Returns:
        ScaleEvidence: Not yet accepted: see :func:`check_evidence`.
    """
    names = sorted(name for name in maps if len(positions[name]))
    weights = np.array([min(len(positions[name]), 20) for name in names])
    elsewhere = None
    if scale is None:
        profiles, ranks = [], []
        for name in names:
            x, y = (_SCALES[:, None] * axis for axis in positions[name].T)
            found = _sample(maps[name], x, y)
            profiles.append(_WEIGHT[found].mean(1))
            ranks.append(found.mean(1) / 255)
        profile = _typical(profiles, weights)
        elsewhere = float(np.median(_typical(ranks, weights)))
        scale = _peak(profile)
    fields, controls = {}, []
    for name in names:
        fields[name], control = _judge(name, maps[name], positions[name] * scale)
        controls.append(control)
    darkness = float(_typical([fields[name].darkness for name in names], weights))
    by_shift = _typical(controls, weights)  # the same statistic, once per shift
    control, spread = float(by_shift.mean()), float(by_shift.std())
    z = (darkness - control) / max(spread, 1e-3)
    return ScaleEvidence(float(scale), darkness, control, z, elsewhere, fields)


def _peak(profile: np.ndarray) -> float:
    """The middle of the peak: nuclei are discs, so the very top is flat and its maximum noise."""
    top = int(profile.argmax())
    base = np.median(profile)
    above = profile - (base + 0.75 * (profile[top] - base))
    low = high = top
    while low > 0 and above[low - 1] > 0:
        low -= 1
    while high < len(profile) - 1 and above[high + 1] > 0:
        high += 1
    weights = np.maximum(above[low : high + 1], 1e-12)
    return float(np.exp((np.log(_SCALES[low : high + 1]) * weights).sum() / weights.sum()))


def _judge(name: str, ranks: np.ndarray, xy: np.ndarray) -> Tuple[FieldEvidence, np.ndarray]:
    """Darkness at ``xy`` (image px) against the same pattern shifted around within the field."""
    height, width = ranks.shape[0] * _STEP, ranks.shape[1] * _STEP
    # At least a twentieth of the field away, so that a shift leaves the nuclei.
    shift = rng_for(0, 'cric scale control', name).uniform(0.05, 0.95, (_SHIFTS, 2))
    x = (xy[:, 0] + shift[:, :1] * width) % (width - _STEP)
    y = (xy[:, 1] + shift[:, 1:] * height) % (height - _STEP)
    controls = _sample(ranks, x, y).mean(1) / 255
    darkness = float(_sample(ranks, xy[:, 0], xy[:, 1]).mean() / 255)
    control = float(controls.mean())
    z = (darkness - control) / max(float(controls.std()), 1e-3)
    if len(xy) < FIELD_MIN_NUCLEI:
        verdict = 'too few nuclei'
    else:
        matches = darkness >= FIELD_MIN_DARKNESS and z >= FIELD_MIN_Z
        verdict = 'match' if matches else 'mismatch'
    return FieldEvidence(darkness, control, z, len(xy), verdict), controls


def check_evidence(evidence: ScaleEvidence) -> List[str]:
    """Names of the fields that do not match their image; an unfit scale is refused.

    Raises:
        ConverterError: When the annotated positions of all fields together are not dark.
    """
    total = sum(field.nuclei for field in evidence.fields.values())
    if evidence.darkness < MIN_DARKNESS or evidence.z < MIN_Z:
        few = ' (few nuclei: too little to tell)' if total < 20 else ''
        raise ConverterError(
            f'no scale from {_SCALES[0]:.1f} to {_SCALES[-1]:.1f} puts the {total} annotated '
            f'positions on dark nuclei{few}: at the best, {evidence.scale:.4f}, they are darker '
            f'than {evidence.darkness:.0%} of their field (chance {evidence.control:.0%}, '
            f'z = {evidence.z:.1f}; expected at least {MIN_DARKNESS:.0%}, z >= {MIN_Z:.0f}). '
            'Do these images belong to these annotations, each under its own name? If you are '
            'sure, give --scale'
        )
    return sorted(name for name, field in evidence.fields.items() if field.verdict == 'mismatch')


def describe_mismatch(evidence: ScaleEvidence, names: Sequence[str]) -> str:
    """The fields in ``names`` with their numbers, for a message."""
    return some_of(
        [
            f'{name} (darker than {evidence.fields[name].darkness:.0%} of the field at '
            f'{evidence.fields[name].nuclei} nuclei)'
            for name in names
        ],
        3,
    )


def evidence_json(evidence: ScaleEvidence) -> Dict[str, object]:
    """``evidence`` as it is written beside the manifest."""
    return {
        'scale': round(evidence.scale, 6),
        'darkness_at_nuclei': round(evidence.darkness, 4),
        'darkness_at_shifted_positions': round(evidence.control, 4),
        'z': round(evidence.z, 2),
        'darkness_at_other_scales': None
        if evidence.elsewhere is None
        else round(evidence.elsewhere, 4),
        'fields': {
            name: {
                'nuclei': field.nuclei,
                'darkness': round(field.darkness, 4),
                'shifted': round(field.control, 4),
                'z': round(field.z, 2),
                'verdict': field.verdict,
            }
            for name, field in evidence.fields.items()
        },
    }
