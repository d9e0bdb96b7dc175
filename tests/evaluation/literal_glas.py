"""The metrics of the GlaS challenge, word by word and slowly: Python sets and loops over pixels."""

import math


def objects(label_map):
    found = {}
    for y, row in enumerate(label_map):
        for x, value in enumerate(row):
            if value:
                found.setdefault(int(value), set()).add((y, x))
    return found


def counterpart(own, others):
    """The object that shares most pixels (of equal ones the first by id); None: no overlap."""
    best = None
    for name in sorted(others):
        shared = len(own & others[name])
        if shared and (best is None or shared > len(own & others[best])):
            best = name
    return best


def hausdorff(first, second):
    def directed(a, b):
        return max(min(math.dist(p, q) for q in b) for p in a)

    return max(directed(first, second), directed(second, first))


def f1_counts(segmented, truth):
    tp = 0
    for pixels in segmented.values():
        match = counterpart(pixels, truth)
        tp += match is not None and len(pixels & truth[match]) > 0.5 * len(truth[match])
    return tp, len(segmented) - tp, len(truth) - tp


def f1(segmented, truth):
    if not segmented and not truth:
        return 1.0
    tp, fp, fn = f1_counts(segmented, truth)
    if not tp:
        return 0.0
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    return 2 * precision * recall / (precision + recall)


def _one_side(own, others, score, lonely):
    area = sum(len(pixels) for pixels in own.values())
    total = 0.0
    for pixels in own.values():
        match = counterpart(pixels, others)
        value = lonely(pixels, others) if match is None else score(pixels, others[match])
        total += len(pixels) / area * value
    return total


def object_dice(segmented, truth):
    if not segmented or not truth:
        return float(not segmented and not truth)

    def dice(a, b):
        return 2 * len(a & b) / (len(a) + len(b))

    def lonely(pixels, others):
        return 0.0

    return 0.5 * (
        _one_side(segmented, truth, dice, lonely) + _one_side(truth, segmented, dice, lonely)
    )


def object_hausdorff(segmented, truth, worst):
    if not segmented or not truth:
        return worst if segmented or truth else 0.0

    def lonely(pixels, others):
        return min(hausdorff(pixels, other) for other in others.values())

    return 0.5 * (
        _one_side(segmented, truth, hausdorff, lonely)
        + _one_side(truth, segmented, hausdorff, lonely)
    )


def merged(pairs):
    """Objects of several images as of one test part: images are moved far apart."""
    segmented, truth = {}, {}
    for number, (s, t) in enumerate(pairs):
        for found, result in ((objects(s), segmented), (objects(t), truth)):
            for name, pixels in found.items():
                result[number, name] = {(number, *pixel) for pixel in pixels}
    return segmented, truth
