"""The terms of the pyramid GAN's objective (Li et al. 2022, Eq. 2 to 8)."""

from typing import List, Optional, Sequence

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.models.layers import at_least_float32, check_one_of

# Features of a discriminator of several parts: for each part, the maps of its stages, logits last.
FeatureMaps = Sequence[Sequence[Tensor]]


@MODELS.register_module()
class PatchAdversarialLoss(nn.Module):
    """Adversarial loss over the patches of several discriminators (Eq. 2 and 6).

    The mean over patches and images, summed over the discriminators as in pix2pixHD, whose weights
    of feature matching and perceptual term go with that sum. Eq. (6) is the cross-entropy form; the
    generator's and the segmenter's turns take the non-saturating one (-log D).

    Args:
        mode (str): 'vanilla' (cross-entropy, Eq. 6), 'lsgan' (pix2pixHD), 'hinge', or
            'relativistic': a patch of a generated pair against the same patch of the real pair of
            its mask (Jolicoeur-Martineau 2019; :meth:`between`). Defaults to 'vanilla'.
    """

    def __init__(self, mode: str = 'vanilla'):
        super().__init__()
        check_one_of(('vanilla', 'lsgan', 'hinge', 'relativistic'), mode=mode)
        self.mode = mode

    @property
    def relativistic(self) -> bool:
        """Whether it compares pairs (:meth:`between`) in place of evaluating each."""
        return self.mode == 'relativistic'

    def between(self, less: FeatureMaps, more: FeatureMaps) -> Tensor:
        """softplus(logit of ``less`` - logit of ``more``): small when ``more`` looks more real.

        ``less`` is of the generated pairs in the discriminator's turn, of the real ones in the
        generator's; ``more`` is of the others, of the same masks in the same order. A scalar.
        """
        return sum(
            F.softplus(at_least_float32(a[-1]) - at_least_float32(b[-1])).mean()
            for a, b in zip(less, more, strict=True)
        )

    def _per_patch(self, logits: Tensor, real: bool) -> Tensor:
        if self.relativistic:
            raise ValueError("mode='relativistic' compares pairs: call between()")
        logits = at_least_float32(logits)
        if self.mode == 'vanilla':
            return F.softplus(-logits if real else logits)
        if self.mode == 'lsgan':
            return (logits - float(real)).square()
        return F.relu(1 - logits if real else 1 + logits)

    def discriminator(
        self, maps: FeatureMaps, real: bool, weights: Optional[Tensor] = None
    ) -> Tensor:
        """How far the discriminator is from calling N pairs real, or generated; a scalar.

        ``weights`` (N,) of the pairs should sum to 1; None: the mean.
        """
        total = 0.0
        for stages in maps:
            per_pair = self._per_patch(stages[-1], real).flatten(1).mean(dim=1)
            total = total + (per_pair.mean() if weights is None else (weights * per_pair).sum())
        return total

    def generator(self, maps: FeatureMaps) -> Tensor:
        """How far the discriminator is from calling generated pairs real; a scalar."""
        if self.mode == 'hinge':
            return sum(-at_least_float32(stages[-1]).mean() for stages in maps)
        return sum(self._per_patch(stages[-1], True).mean() for stages in maps)

    def segmenter(self, maps: FeatureMaps) -> Tensor:
        """The same of segmented pairs, averaged over the discriminators; a scalar.

        Beside the cross-entropy the weight of Eq. (8) then means what it says, however many
        discriminators there are: summed over three, it is three times as large, and the
        cross-entropy of a segmenter rises while its mIoU hides it.
        """
        return self.generator(maps) / len(maps)


@MODELS.register_module()
class FeatureMatchingLoss(nn.Module):
    """L1 between the discriminator's features of real and generated pairs (Eq. 4).

    The mean over values and images of every stage but the logits; pix2pixHD's normalisation: 4
    times the mean over these stages, averaged over the discriminators.

    Args:
        loss_weight (float): beta. Defaults to 10 (Sec. 3.4).
    """

    def __init__(self, loss_weight: float = 10.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, fake: FeatureMaps, real: FeatureMaps) -> Tensor:
        """Compare pairs of the same masks; no gradient flows into ``real``. A scalar."""
        total = 0.0
        for of_fake, of_real in zip(fake, real, strict=True):
            terms = [
                F.l1_loss(at_least_float32(a), at_least_float32(b.detach()))
                for a, b in zip(of_fake[:-1], of_real[:-1], strict=True)
            ]
            total = total + 4.0 / len(terms) * sum(terms)
        return self.loss_weight * total / len(fake)


@MODELS.register_module()
class ImageReconstructionLoss(nn.Module):
    """Squared distance of the generated image to the real one of its mask (Eq. 3).

    Args:
        loss_weight (float): alpha. Defaults to 0.001 (Sec. 3.4).
        order (int): 2: squares (Eq. 3); 1: absolute values (pix2pix). Defaults to 2.
        reduction (str): 'mean': over the values, so that the weight means the same at every size
            (SinGAN); 'sum': the squared norm of Eq. (3) as written, averaged over the batch.
            Defaults to 'mean'.
    """

    def __init__(self, loss_weight: float = 0.001, order: int = 2, reduction: str = 'mean'):
        super().__init__()
        check_one_of((1, 2), order=order)
        check_one_of(('mean', 'sum'), reduction=reduction)
        self.loss_weight = loss_weight
        self.order = order
        self.reduction = reduction

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Compare (N, C, H, W) with (N, C, H, W); a scalar."""
        distance = F.mse_loss if self.order == 2 else F.l1_loss
        value = distance(at_least_float32(fake), at_least_float32(real), reduction=self.reduction)
        return self.loss_weight * (value / len(fake) if self.reduction == 'sum' else value)


def mask_cross_entropy(logits: Tensor, masks: Tensor, ignore_index: int) -> Tensor:
    """Mean cross-entropy (Eq. 7) of logits (N, num_classes, H, W) and class ids (N, H, W).

    Over the pixels that have a class; 0 where none has.
    """
    total = F.cross_entropy(
        at_least_float32(logits), masks.long(), ignore_index=ignore_index, reduction='sum'
    )
    return total / (masks != ignore_index).sum().clamp(min=1)


def one_hot_masks(masks: Tensor, num_classes: int) -> Tensor:
    """Class ids (N, H, W) to float (N, num_classes, H, W); ids outside become zeros everywhere."""
    classes = torch.arange(num_classes, device=masks.device).view(1, -1, 1, 1)
    return (masks.unsqueeze(1) == classes).float()


def logits_of(maps: FeatureMaps) -> List[Tensor]:
    """The logits of every discriminator."""
    return [stages[-1] for stages in maps]


def mean_logit(maps: FeatureMaps) -> Tensor:
    """Mean logit of pairs, for the log: over patches and images, then over the discriminators."""
    return torch.stack([logits.detach().float().mean() for logits in logits_of(maps)]).mean()
