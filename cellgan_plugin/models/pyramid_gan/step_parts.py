"""What the turns of a training step hand on to each other."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """A training batch at the size of the current scale.

    Attributes:
        img (Tensor): (L, 3, S, S) images with a mask.
        masks (Tensor): Their class ids (L, S, S).
        one_hot (Tensor): The same, (L, num_classes, S, S).
        unlabelled (Tensor): (U, 3, S, S), perhaps none. Their masks are nowhere.
    """

    img: Tensor
    masks: Tensor
    one_hot: Tensor
    unlabelled: Tensor


class Segmented(NamedTuple):
    """What the segmenter says in one forward, by where the images came from.

    Attributes:
        labelled (Tensor): Logits of images with a mask.
        unlabelled (Tensor): Logits of images without.
        synthetic (Tensor): Logits of generated images; none before their time.
        probabilities (Tensor): Of the labelled, then the unlabelled ones.
    """

    labelled: Tensor
    unlabelled: Tensor
    synthetic: Tensor
    probabilities: Tensor
