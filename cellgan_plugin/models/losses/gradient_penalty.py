"""The objective of WGAN-GP (Gulrajani et al. 2017)."""

from typing import Callable, Dict, List, Sequence

import torch
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.models.layers import at_least_float32


@MODELS.register_module()
class WassersteinLoss(nn.Module):
    """Adversarial loss of the Wasserstein GAN, mean over all logits, never in half."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Dict[str, Tensor]:
        """D(G(z)) - D(x): minus the critic's estimate of the distance, a scalar."""
        real, fake = at_least_float32(real_logits), at_least_float32(fake_logits)
        return dict(loss_disc=fake.mean() - real.mean())

    def generator(self, fake_logits: Tensor) -> Tensor:
        """-D(G(z)), a scalar."""
        return -at_least_float32(fake_logits).mean()


@MODELS.register_module()
class GradientPenalty(nn.Module):
    r"""Gradient penalty (Gulrajani et al. 2017, Eq. (3), Algorithm 1), for one critic or several.

    :math:`\lambda \, \mathrm{mean}_i (\|\nabla_{\hat x_i} D(\hat x_i)\|_2 - 1)^2` with
    :math:`\hat x_i = \epsilon_i x_i + (1 - \epsilon_i) G(z_i)`.

    In a critic with batch normalisation or minibatch discrimination, as HistoGAN's, an image's
    logit depends on the other images too: the gradient of the *sum* of the logits, which is what
    one backward can give, then holds the image's influence on the others as well, and the penalty
    is that of the batch rather than of each image (WGAN-GP, Sec. 4, leaves batch normalisation out
    of its critic for this reason; HistoGAN has it).

    Args:
        loss_weight (float): lambda; the delta of HistoGAN, Sec. 4.2.1. Defaults to 50.0.
    """

    def __init__(self, loss_weight: float = 50.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        logits_of: Callable[[List[Tensor]], Sequence[Tensor]],
        real: Sequence[Tensor],
        fake: Sequence[Tensor],
        epsilon: Tensor,
    ) -> List[Tensor]:
        """Compute the penalties, never in half, where second derivatives are lost.

        Args:
            logits_of (Callable): Takes one batch per critic, returns the logits of each. No
                critic may see another one's batch.
            real (Sequence[Tensor]): Real images (N, C, H, W), one batch per critic.
            fake (Sequence[Tensor]): Generated images of the same shapes.
            epsilon (Tensor): Share of the real image (N, number of critics), uniform in [0, 1).

        Returns:
            list[Tensor]: One scalar per critic.
        """
        with torch.autocast(real[0].device.type, enabled=False):
            mixed = []
            for x, y, share in zip(real, fake, epsilon.unbind(dim=1), strict=True):
                share = share[:, None, None, None]
                x, y = at_least_float32(x.detach()), at_least_float32(y.detach())
                mix = share * x + (1 - share) * y
                mixed.append(mix.requires_grad_())
            total = sum(logits.sum() for logits in logits_of(mixed))
            gradients = torch.autograd.grad(total, mixed, create_graph=True)
            penalties = []
            for gradient in gradients:
                # The small number keeps the square root's slope finite where there is no gradient.
                norm = (gradient.square().sum(dim=(1, 2, 3)) + 1e-12).sqrt()
                penalties.append(self.loss_weight * (norm - 1).square().mean())
            return penalties
