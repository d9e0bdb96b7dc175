"""Consistency regularisation with a mean teacher, the paper's semi-supervised baseline (Eq. 9)."""

import copy
import math
from typing import Any, Dict, Mapping, Sequence

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from cellgan_plugin.datasets.segmentation_labels import IGNORE_INDEX
from cellgan_plugin.models.losses.pyramid_losses import mask_cross_entropy
from cellgan_plugin.models.pyramid_gan.pyramid import Pyramid
from cellgan_plugin.models.pyramid_gan.scales import resize_images, resize_masks
from cellgan_plugin.models.repeatable_step import RepeatableStep
from cellgan_plugin.randomness import sent


@MODELS.register_module()
class MeanTeacher(RepeatableStep, Pyramid):
    """A student, and a teacher that is the running mean of its weights (Tarvainen & Valpola 2017).

    Cross-entropy on labelled images, and on all images the mean squared difference of the
    probabilities of student and teacher, which see the image with different noise (Sec. 4.4.1).
    At one scale, under the same loop as :class:`PyramidGAN`. The teacher segments.

    The paper gives no numbers for Eq. (9); those here are Tarvainen & Valpola's.

    Args:
        num_classes (int): Classes of the masks.
        scales (Sequence[dict]): One entry, see :class:`Pyramid`.
        segmenter (dict): The student; the teacher is a copy of it.
        consistency_weight (float): lambda of Eq. (9). Defaults to 1.0.
        ramp_up (float): Epochs over which it grows, as exp(-5 (1 - t)^2). Defaults to 40.
        ema_decay (float): Of the teacher, at most 1 - 1 / (iteration + 1). Defaults to 0.99.
        perturbation (float): Standard deviation of the noise xi. Defaults to 0.15.
        seed (int): Base seed of the training steps where no Runner has said one. Defaults to 0.
        **kwargs: Of :class:`Pyramid`.

    Raises:
        ValueError: There is more than one scale.
    """

    def __init__(
        self,
        num_classes: int,
        scales: Sequence[Mapping[str, Any]],
        segmenter: Mapping[str, Any],
        consistency_weight: float = 1.0,
        ramp_up: float = 40,
        ema_decay: float = 0.99,
        perturbation: float = 0.15,
        seed: int = 0,
        **kwargs,
    ):
        if len(scales) != 1:
            raise ValueError(f'MeanTeacher has one scale, got {len(scales)}')
        super().__init__(num_classes, scales, segmenter=segmenter, **kwargs)
        self.teacher = copy.deepcopy(self.segmenters[0]).requires_grad_(False)
        self.consistency_weight = consistency_weight
        self.ramp_up = ramp_up
        self.ema_decay = ema_decay
        self.perturbation = perturbation
        self.seed = seed

    def segmenter_of(self, index: int) -> nn.Module:
        """The teacher, outside of training."""
        return self.segmenters[index] if self.training else self.teacher

    def weight_now(self) -> float:
        """Weight of the consistency term at :attr:`scale_epoch`."""
        time = min(self.scale_epoch / self.ramp_up, 1.0) if self.ramp_up else 1.0
        return self.consistency_weight * math.exp(-5 * (1 - time) ** 2)

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict) -> Dict[str, Tensor]:
        """One iteration: the student learns, the teacher follows.

        Args:
            data (dict): A batch of ``TissueMaskDataset``, see :class:`TissueDataPreprocessor`.
            optim_wrapper (OptimWrapperDict): Key ``segmenter``.

        Returns:
            dict[str, Tensor]: ``loss_cross_entropy``, ``loss_consistency`` and ``loss``.
        """
        iteration = self.begin_step()
        inputs = self.data_preprocessor(data, True)['inputs']
        img = resize_images(inputs['img'], self.size, self.size)
        labelled = sent(torch.nonzero(inputs['labelled']).flatten(), img.device)
        if not len(labelled):
            raise ValueError('no image of the batch is labelled: use a sampler that mixes them')
        masks = resize_masks(inputs['mask'].index_select(0, labelled), self.size, self.size)
        with optim_wrapper['segmenter'].optim_context(self.segmenters[0]):
            with torch.no_grad():
                target = self._evaluated(self.teacher, img, 'teacher').float().softmax(dim=1)
            logits = self._evaluated(self.segmenters[0], img, 'student')
            terms = dict(
                loss_cross_entropy=mask_cross_entropy(
                    logits.index_select(0, labelled), masks, IGNORE_INDEX
                ),
                loss_consistency=self.weight_now()
                * F.mse_loss(logits.float().softmax(dim=1), target),
            )
        loss = sum(terms.values())
        optim_wrapper['segmenter'].update_params(loss)  # no backward inside of autocast
        self._follow(iteration)
        return {**{name: value.detach() for name, value in terms.items()}, 'loss': loss.detach()}

    def _evaluated(self, network: nn.Module, img: Tensor, who: str) -> Tensor:
        noise = self.step_random.normal(f'perturbation_{who}', len(img), img[0].numel())
        img = img + self.perturbation * noise.view_as(img)
        nothing = img.new_zeros(len(img), self.num_classes, *img.shape[-2:])
        return network(torch.cat([img, nothing], dim=1))

    @torch.no_grad()
    def _follow(self, iteration: int) -> None:
        decay = min(self.ema_decay, 1 - 1 / (iteration + 1))
        pairs = zip(self.teacher.parameters(), self.segmenters[0].parameters(), strict=True)
        for own, other in pairs:
            own.lerp_(other, 1 - decay)
