"""The terms of CellGAN's objective (Eq. 1 and 2)."""

from typing import Callable, Dict, Optional

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.models.layers import at_least_float32


@MODELS.register_module()
class HingeGANLoss(nn.Module):
    """Hinge version of the adversarial loss (Sec. 2.2; Lim & Ye 2017), mean over all logits."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Dict[str, Tensor]:
        """max(0, 1 - D(x)) and max(0, 1 + D(G(z))), each a scalar, from logits of any shape."""
        return dict(
            loss_disc_real=F.relu(1 - at_least_float32(real_logits)).mean(),
            loss_disc_fake=F.relu(1 + at_least_float32(fake_logits)).mean(),
        )

    def generator(self, fake_logits: Tensor) -> Tensor:
        """-D(G(z)), a scalar."""
        return -at_least_float32(fake_logits).mean()


@MODELS.register_module()
class RelativisticLoss(nn.Module):
    """Relativistic pairing (Jolicoeur-Martineau 2018; Huang et al. 2024, "R3GAN", Eq. (2)).

    softplus(-(D(x) - D(G(z)))) of the discriminator and softplus(D(x) - D(G(z))) of the generator,
    where image i of the generated batch is paired with image i of the real one (so both have the
    same label under ``fake_labels='data'``). Only differences of logits count: what all of them
    have in common, which under the hinge drifts about, has no gradient. Not in the paper.
    """

    needs_real = True

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Dict[str, Tensor]:
        """The discriminator's loss, a scalar, from logits of one shape."""
        difference = at_least_float32(real_logits) - at_least_float32(fake_logits)
        return dict(loss_disc=F.softplus(-difference).mean())

    def generator(self, fake_logits: Tensor, real_logits: Tensor) -> Tensor:
        """The generator's loss, a scalar."""
        difference = at_least_float32(real_logits) - at_least_float32(fake_logits)
        return F.softplus(difference).mean()


@MODELS.register_module()
class ReconstructionLoss(nn.Module):
    """L1 between the discriminator's reconstructions and the image it saw (Eq. 1).

    The crop is compared with exactly the pixels under the window of the feature map, the half-size
    image with the nearest-neighbour resize (the authors' program). The sum of the two means.

    Args:
        loss_weight (float): Defaults to 1.0 (Eq. 2).
    """

    def __init__(self, loss_weight: float = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, crop: Tensor, half: Tensor, crop_target: Tensor, img: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            crop (Tensor): Rebuilt crop (N, C, S/2, S/2).
            half (Tensor): Rebuilt half-size image (N, C, S/2, S/2).
            crop_target (Tensor): The crop's own pixels of ``img``.
            img (Tensor): The image the discriminator saw (N, C, S, S).

        Returns:
            Tensor: Scalar.
        """
        half_target = F.interpolate(img, size=half.shape[-2:], mode='nearest')
        pairs = ((crop, crop_target), (half, half_target))
        return self.loss_weight * sum(
            F.l1_loss(at_least_float32(found), at_least_float32(target)) for found, target in pairs
        )


@MODELS.register_module()
class R1Penalty(nn.Module):
    """R1 regularisation on real, un-augmented images (Sec. 2.2; Mescheder et al. 2018).

    Mean over the batch of the squared norm of the gradient of the *sum* of an image's logits. The
    paper gives the weight 0.01; that there is no factor 1/2 is the authors' program.

    Args:
        loss_weight (float): lambda_reg. Defaults to 0.01 (Sec. 2.2).
        interval (int): Of iterations in which the model computes it; the penalty is then this much
            heavier, so that the sum over a run stays (lazy regularisation, Karras et al. 2020,
            Appendix B; not in the paper). Defaults to 1: every iteration.
    """

    def __init__(self, loss_weight: float = 0.01, interval: int = 1):
        super().__init__()
        if interval < 1:
            raise ValueError(f'R1Penalty: interval={interval}: must be at least 1')
        self.loss_weight = loss_weight
        self.interval = interval

    def forward(
        self,
        logits_of: Callable[[Tensor], Tensor],
        img: Tensor,
        gradient_of: Optional[Callable[[Tensor], Tensor]] = None,
    ) -> Tensor:
        """Compute the penalty, always in float32: squares of small gradients vanish in half.

        Args:
            logits_of (Callable): Images (N, C, H, W) to logits of any shape. Differentiated twice
                where there is no ``gradient_of``.
            img (Tensor): Real images (N, C, H, W) in [-1, 1].
            gradient_of (Callable, optional): Images to the gradient of the sum of their logits,
                differentiable with respect to the weights, for discriminators that can say it
                (:meth:`CellGANDiscriminator.input_gradient`). Defaults to None.

        Returns:
            Tensor: Scalar.
        """
        img = at_least_float32(img)
        with torch.autocast(img.device.type, enabled=False):
            if gradient_of is not None:
                gradient = gradient_of(img.detach())
            else:
                img = img.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(logits_of(img).sum(), img, create_graph=True)
            return self.interval * self.loss_weight * gradient.square().sum(dim=(1, 2, 3)).mean()
