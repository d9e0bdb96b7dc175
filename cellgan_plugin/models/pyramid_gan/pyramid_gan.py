"""The pyramid GAN (Li et al. 2022): three players per scale, trained from coarse to fine."""

from functools import partial
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from mmagic.models.utils import set_requires_grad
from mmagic.registry import MODELS
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from cellgan_plugin.datasets.segmentation_labels import IGNORE_INDEX
from cellgan_plugin.models.losses.pyramid_losses import (
    logits_of,
    mask_cross_entropy,
    mean_logit,
    one_hot_masks,
)
from cellgan_plugin.models.pyramid_gan.pyramid import NetworkConfig, Pyramid
from cellgan_plugin.models.pyramid_gan.scales import resize_images, resize_masks
from cellgan_plugin.models.pyramid_gan.step_parts import Batch, Segmented
from cellgan_plugin.models.repeatable_step import RepeatableStep
from cellgan_plugin.randomness import sent


@MODELS.register_module()
class PyramidGAN(RepeatableStep, Pyramid):
    """Three players per scale, trained from the coarsest scale to the finest.

    Algorithm 1 (generation): no ``segmenter``. Algorithm 2 (and segmentation): all three. Algorithm
    3 (semi-supervised): ``semi_supervised=True`` and batches of labelled and unlabelled images. The
    m-FC-DenseNet baselines: a ``segmenter`` alone. Trains under MMEngine's Runner with
    ``ScaleTrainLoop`` and ``ScaleOptimWrapperConstructor`` (keys ``generator``, ``discriminator``,
    ``segmenter``, those that there are).

    One step: every network runs once on the batch; then D, G and S are updated in this order, G
    and S against the new D (Algorithms 1 to 3).

    Args:
        num_classes (int): See :class:`Pyramid`, as for ``scales``, ``generator``,
            ``discriminator``, ``segmenter`` and ``**kwargs``.
        scales (Sequence[dict]): The schedule.
        generator (dict, optional): Needs a discriminator. Defaults to None.
        discriminator (dict, optional): Defaults to None.
        segmenter (dict, optional): Defaults to None.
        adversarial_loss (dict): Defaults to ``dict(type='PatchAdversarialLoss')``.
        reconstruction_loss (dict, optional): None: off. Defaults to
            ``dict(type='ImageReconstructionLoss')`` (Eq. 3, weight 0.001).
        feature_matching_loss (dict, optional): None: off. Defaults to
            ``dict(type='FeatureMatchingLoss')`` (Eq. 4, weight 10).
        perceptual_loss (dict, optional): Off where its weights are not at hand. Defaults to None.
        r1_loss (dict, optional): :class:`R1Penalty` on the images of real pairs; of a
            discriminator's mean logit, summed over the discriminators, as in the adversarial loss.
            Not in the paper. Defaults to None.
        r2_loss (dict, optional): The same on generated images. Defaults to None.
        cross_entropy_weight (float): alpha' of Eq. (8). Defaults to 1.0 (Sec. 3.4).
        segmenter_adversarial_weight (float): Of the segmenter's part of the adversarial loss, the
            mean over the discriminators; 0: cross-entropy alone. Defaults to 1.0 (Eq. 8).
        synthetic_weight (float): Of the cross-entropy on generated images; 0: they are not used.
            Defaults to 0.03 (Sec. 3.4).
        synthetic_start (float): Epochs of a scale before they are used. Defaults to 100 (Sec. 3.4).
        segmenter_share (float): Of the pairs that D is to call generated, the weight of the
            segmenter's; the generator's have the rest. Defaults to 0.5 (Triple-GAN, which
            Sec. 3.4 follows).
        semi_supervised (bool): Use the unlabelled images of a batch; else they are left out.
            Defaults to False.
        pseudo_probability (float): Share of the unlabelled images that become positives of D with
            the segmenter's mask, drawn image by image; these are no negatives in that step.
            Defaults to 0.1 (Sec. 3.3 says "randomly").
        pseudo_start (float): Epochs of a scale before that. Defaults to 10.
        seed (int): Base seed of the training steps where no Runner has said one. Defaults to 0.
        **kwargs: Of :class:`Pyramid`.

    Raises:
        ValueError: The parts do not make one of the algorithms.
    """

    def __init__(
        self,
        num_classes: int,
        scales: Sequence[Mapping[str, Any]],
        generator: NetworkConfig = None,
        discriminator: NetworkConfig = None,
        segmenter: NetworkConfig = None,
        adversarial_loss: Optional[dict] = None,
        reconstruction_loss: Optional[dict] = dict(type='ImageReconstructionLoss'),  # noqa: B006
        feature_matching_loss: Optional[dict] = dict(type='FeatureMatchingLoss'),  # noqa: B006
        perceptual_loss: Optional[dict] = None,
        r1_loss: Optional[dict] = None,
        r2_loss: Optional[dict] = None,
        cross_entropy_weight: float = 1.0,
        segmenter_adversarial_weight: float = 1.0,
        synthetic_weight: float = 0.03,
        synthetic_start: float = 100,
        segmenter_share: float = 0.5,
        semi_supervised: bool = False,
        pseudo_probability: float = 0.1,
        pseudo_start: float = 10,
        seed: int = 0,
        **kwargs,
    ):
        if generator is None and segmenter is None:
            raise ValueError('PyramidGAN needs a generator (Algorithm 1), a segmenter, or both')
        if generator is not None and discriminator is None:
            raise ValueError('PyramidGAN: a generator is trained against a discriminator: give one')
        if semi_supervised and (segmenter is None or discriminator is None):
            raise ValueError(
                'semi_supervised=True (Algorithm 3) needs a segmenter and a discriminator: '
                'unlabelled images act through the adversarial loss alone'
            )
        for name, share in (
            ('segmenter_share', segmenter_share),
            ('pseudo_probability', pseudo_probability),
        ):
            if not 0 <= share <= 1:
                raise ValueError(f'{name}={share!r}: must be between 0 and 1')
        super().__init__(num_classes, scales, generator, discriminator, segmenter, **kwargs)
        self.adversarial_loss = MODELS.build(
            adversarial_loss or dict(type='mmagic.PatchAdversarialLoss')
        )
        self._relativistic = getattr(self.adversarial_loss, 'relativistic', False)
        if self._relativistic and segmenter is not None:
            if segmenter_share or segmenter_adversarial_weight:
                raise ValueError(
                    'a relativistic adversarial_loss compares an image with the real one of its '
                    'mask; segmented masks have no such partner: set segmenter_share=0 and '
                    'segmenter_adversarial_weight=0 (cross-entropy alone)'
                )
        self.reconstruction_loss = reconstruction_loss and MODELS.build(reconstruction_loss)
        self.feature_matching_loss = feature_matching_loss and MODELS.build(feature_matching_loss)
        self.perceptual_loss = perceptual_loss and MODELS.build(perceptual_loss)
        self.r1_loss = r1_loss and MODELS.build(r1_loss)
        self.r2_loss = r2_loss and MODELS.build(r2_loss)
        self.cross_entropy_weight = cross_entropy_weight
        self.segmenter_adversarial_weight = segmenter_adversarial_weight
        self.synthetic_weight = synthetic_weight
        self.synthetic_start = synthetic_start
        self.segmenter_share = segmenter_share
        self.semi_supervised = semi_supervised
        self.pseudo_probability = pseudo_probability
        self.pseudo_start = pseudo_start
        self.seed = seed
        self.enter_scale(0)  # the perceptual loss follows the scale too

    def enter_scale(self, index: int) -> None:
        """See :meth:`Pyramid.enter_scale`."""
        super().enter_scale(index)
        if getattr(self, 'perceptual_loss', None) is not None:
            self.perceptual_loss.checkpoint = self.scales[index].checkpoint

    def check_dataset(self, dataset) -> None:
        """See :meth:`Pyramid.check_dataset`; semi-supervision needs unlabelled images as well."""
        super().check_dataset(dataset)
        labelled = getattr(dataset, 'labelled', None)
        if not self.semi_supervised or labelled is None:
            return
        if all(bool(value) for value in labelled):
            raise ValueError(
                'semi_supervised=True but every image of the training set is labelled: set its '
                'labelled_ratio below 1, or train with Algorithm 2 (semi_supervised=False)'
            )

    # One step -----------------------------------------------------------------------------------

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict) -> Dict[str, Tensor]:
        """One iteration of the current scale: D, then G, then S.

        Args:
            data (dict): A batch of ``TissueMaskDataset``, see :class:`TissueDataPreprocessor`.
            optim_wrapper (OptimWrapperDict): Of the current scale's networks.

        Returns:
            dict[str, Tensor]: ``size`` (px), and of the turns that there are: ``loss_disc_real``,
            ``loss_disc_generated``, ``loss_disc_segmented``, mean logits ``disc_real``,
            ``disc_generated``, ``disc_segmented``; ``loss_gen``, ``loss_reconstruction``,
            ``loss_feature_matching``, ``loss_perceptual``; ``loss_segmenter``,
            ``loss_cross_entropy``, ``loss_synthetic``; and ``loss``, the sum of those of G and S.
        """
        self.begin_step()
        batch = self._batch(self.data_preprocessor(data, True)['inputs'])
        log: Dict[str, Tensor] = dict(size=torch.tensor(float(self.size)))
        fake = segmented = None
        if self.generators is not None:
            with optim_wrapper['generator'].optim_context(self.generators[self.scale]):
                fake = self._generated(batch.img, batch.masks)
        if self.segmenters is not None:
            with optim_wrapper['segmenter'].optim_context(self.segmenters[self.scale]):
                segmented = self._segmented(batch, fake)
        if self.discriminators is not None:
            discriminator = self.discriminators[self.scale]
            with optim_wrapper['discriminator'].optim_context(discriminator):
                terms = self._discriminator_terms(batch, fake, segmented, log)
            self._update(terms, optim_wrapper['discriminator'], log)
            set_requires_grad(discriminator, False)
        loss = 0.0
        if fake is not None:
            with optim_wrapper['generator'].optim_context(self.generators[self.scale]):
                terms = self._generator_terms(batch, fake)
            loss = loss + self._update(terms, optim_wrapper['generator'], log)
            del terms
        if segmented is not None:
            with optim_wrapper['segmenter'].optim_context(self.segmenters[self.scale]):
                terms = self._segmenter_terms(batch, segmented)
            loss = loss + self._update(terms, optim_wrapper['segmenter'], log)
        if self.discriminators is not None:
            set_requires_grad(self.discriminators[self.scale], True)
        log['loss'] = loss
        return log

    @staticmethod
    def _update(terms: Dict[str, Tensor], wrapper: OptimWrapper, log: Dict[str, Tensor]) -> Tensor:
        loss = sum(terms.values())
        wrapper.update_params(loss)
        log.update({name: value.detach() for name, value in terms.items()})
        return loss.detach()

    def _batch(self, inputs: Dict[str, Any]) -> Batch:
        img, masks = inputs['img'], inputs.get('mask')
        if masks is None:
            raise ValueError('the batch has no masks: train on TissueMaskDataset')
        labelled = inputs.get('labelled')
        if labelled is None:
            labelled = torch.ones(len(img), dtype=torch.bool)
        chosen, others = (
            sent(torch.nonzero(x).flatten(), img.device) for x in (labelled, ~labelled)
        )
        if not len(chosen):
            raise ValueError(
                'no image of the batch is labelled, and D and the cross-entropy need some: use a '
                'sampler that mixes labelled and unlabelled images (see configs/pyramid_gan)'
            )
        if self.semi_supervised and not len(others):
            raise ValueError(
                'semi_supervised=True but no image of the batch is unlabelled: use a sampler that '
                'mixes labelled and unlabelled images (see configs/pyramid_gan)'
            )
        size = (self.size, self.size)
        masks = resize_masks(masks.index_select(0, chosen), *size)
        # Left out before anything is computed of them.
        others = others if self.semi_supervised else others[:0]
        return Batch(
            img=resize_images(img.index_select(0, chosen), *size),
            masks=masks,
            one_hot=one_hot_masks(masks, self.num_classes),
            unlabelled=resize_images(img.index_select(0, others), *size)
            if len(others)
            else img.new_zeros(0, 3, *size),
        )

    def _step_noise(self, img: Tensor, index: int) -> Tensor:
        count = len(img)
        size, channels = self.scales[index].size, self.generators[index].image_channels
        drawn = self.step_random.normal(f'generator_noise_{index}', count, channels * size * size)
        stain = self.colours.code(img) if index == 0 and self.stain_share else None
        return self.scale_noise(index, drawn.view(count, channels, size, size), stain)

    def _generated(self, img: Tensor, masks: Tensor) -> Tensor:
        """Images of the masks of real images; the gradient stops at the finished scales."""
        image = None
        if self.stain_share:
            self.colours.update(img)
        with torch.no_grad():
            for index in range(self.scale):
                size = self.scales[index].size
                image = self.generate_scale(
                    index,
                    resize_masks(masks, size, size),
                    self._step_noise(img, index),
                    image,
                )
        return self.generate_scale(self.scale, masks, self._step_noise(img, self.scale), image)

    def _segmented(self, batch: Batch, fake: Optional[Tensor]) -> Segmented:
        images = [batch.img, batch.unlabelled]
        counts = [len(batch.img), len(batch.unlabelled), 0]
        if (
            fake is not None
            and self.synthetic_weight > 0
            and self.scale_epoch >= self.synthetic_start
        ):
            images.append(fake.detach().to(batch.img.dtype))
            counts[2] = len(fake)
        img = torch.cat(images)
        coarser = self.coarser_probabilities(img, self.scale)
        if self.segmenter_noise:
            noise = self.step_random.normal('segmenter_noise', len(img), img[0].numel())
            img = img + self.segmenter_noise * noise.view_as(img)
        logits = self.segment_scale(self.scale, img, coarser)
        labelled, unlabelled, synthetic = logits.split(counts)
        probabilities = logits[: counts[0] + counts[1]].float().softmax(dim=1)
        # As in true masks: else D would know a segmented one by its pixels without a class.
        known = (batch.masks != IGNORE_INDEX).unsqueeze(1)
        probabilities = torch.cat([probabilities[: counts[0]] * known, probabilities[counts[0] :]])
        return Segmented(labelled, unlabelled, synthetic, probabilities)

    # The turns ----------------------------------------------------------------------------------

    def _pseudo_positives(self, batch: Batch) -> List[int]:
        """Which of the unlabelled images are positives of D in this step."""
        if not len(batch.unlabelled) or self.scale_epoch < self.pseudo_start:
            return []
        drawn = self.step_random.shares('pseudo_positives', len(batch.unlabelled))
        return [n for n, value in enumerate(drawn) if value < self.pseudo_probability]

    def _discriminator_terms(
        self,
        batch: Batch,
        fake: Optional[Tensor],
        segmented: Optional[Segmented],
        log: Dict[str, Tensor],
    ) -> Dict[str, Tensor]:
        discriminator = self.discriminators[self.scale]
        real_img, real_masks = batch.img, batch.one_hot
        negatives = dict()
        if fake is not None:
            negatives['generated'] = (fake.detach(), batch.one_hot)
        if segmented is not None and self.segmenter_share > 0:
            img = torch.cat([batch.img, batch.unlabelled])
            probabilities = segmented.probabilities.detach()
            chosen = self._pseudo_positives(batch)
            if chosen:
                first = len(batch.img)
                rows = sent(torch.tensor([first + number for number in chosen]), img.device)
                left = [n for n in range(len(img)) if n < first or n - first not in chosen]
                left = sent(torch.tensor(left, dtype=torch.long), img.device)
                pseudo = one_hot_masks(probabilities[rows].argmax(dim=1), self.num_classes)
                real_img = torch.cat([real_img, img[rows]])
                real_masks = torch.cat([real_masks, pseudo])
                img, probabilities = img[left], probabilities[left]
            negatives['segmented'] = (img, probabilities)
        shares = dict.fromkeys(negatives, 1.0)
        if len(negatives) == 2:
            shares = dict(generated=1 - self.segmenter_share, segmented=self.segmenter_share)

        real_maps = discriminator(real_img, real_masks)
        terms = dict()
        if not self._relativistic:
            terms['loss_disc_real'] = self.adversarial_loss.discriminator(real_maps, True)
        log['disc_real'] = mean_logit(real_maps)
        for name, (img, masks) in negatives.items():
            maps = discriminator(img, masks)
            if self._relativistic:
                loss = self.adversarial_loss.between(maps, real_maps)
            else:
                loss = self.adversarial_loss.discriminator(maps, False)
            terms[f'loss_disc_{name}'] = shares[name] * loss
            log[f'disc_{name}'] = mean_logit(maps)
        pairs = dict(r1=(self.r1_loss, real_img, real_masks))
        if fake is not None:
            pairs['r2'] = (self.r2_loss, *negatives['generated'])
        for name, (penalty, img, masks) in pairs.items():
            if penalty and self.step_random.iteration % penalty.interval == 0:
                terms[f'loss_disc_{name}'] = penalty(
                    partial(_image_logits, discriminator, masks), img
                )
        return terms

    def _generator_terms(self, batch: Batch, fake: Tensor) -> Dict[str, Tensor]:
        discriminator = self.discriminators[self.scale]
        maps = discriminator(fake, batch.one_hot)
        real_maps = None
        if self.feature_matching_loss or self._relativistic:
            with torch.no_grad():
                real_maps = discriminator(batch.img, batch.one_hot)
        if self._relativistic:
            terms = dict(loss_gen=self.adversarial_loss.between(real_maps, maps))
        else:
            terms = dict(loss_gen=self.adversarial_loss.generator(maps))
        if self.feature_matching_loss:
            terms['loss_feature_matching'] = self.feature_matching_loss(maps, real_maps)
        if self.reconstruction_loss:
            terms['loss_reconstruction'] = self.reconstruction_loss(fake, batch.img)
        if self.perceptual_loss is not None and self.perceptual_loss.enabled:
            terms['loss_perceptual'] = self.perceptual_loss(fake, batch.img)
        return terms

    def _segmenter_terms(self, batch: Batch, segmented: Segmented) -> Dict[str, Tensor]:
        terms = dict(
            loss_cross_entropy=self.cross_entropy_weight
            * mask_cross_entropy(segmented.labelled, batch.masks, IGNORE_INDEX)
        )
        if len(segmented.synthetic):
            terms['loss_synthetic'] = self.synthetic_weight * mask_cross_entropy(
                segmented.synthetic, batch.masks, IGNORE_INDEX
            )
        if self.discriminators is not None and self.segmenter_adversarial_weight > 0:
            maps = self.discriminators[self.scale](
                torch.cat([batch.img, batch.unlabelled]), segmented.probabilities
            )
            terms['loss_segmenter'] = (
                self.segmenter_adversarial_weight * self.adversarial_loss.segmenter(maps)
            )
        return terms


def _image_logits(discriminator: nn.Module, masks: Tensor, img: Tensor) -> Tensor:
    """Logits (N, discriminators) of images, means over the patches."""
    logits = logits_of(discriminator(img, masks))
    return torch.stack([of_part.flatten(1).mean(dim=1) for of_part in logits], dim=1)
