"""Do the networks of a model fit each other and the data? Asked before training, of any GAN."""

from typing import Any, Iterator, Mapping, NamedTuple, Optional, Tuple

import torch
from mmagic.models.base_models import BaseConditionalGAN, BaseGAN
from torch import Tensor, nn

from cellgan_plugin.errors import where_raised
from cellgan_plugin.models.cellgan import CellGAN
from cellgan_plugin.models.conditional_gan import unwrap
from cellgan_plugin.models.layers import class_weights, evaluating, height_and_width


class _Plan(NamedTuple):
    """Sizes for which a network of MMagic 1.2.0 knows its layers by itself."""

    size: str  # argument: side of the image in pixels
    layers: str  # argument: layers of other sizes
    sizes: Tuple[int, ...]


# For these networks MMagic has a bare assertion, a KeyError, or an IndexError without a word on
# what was wrong (BigGANDiscriminator lists one layer too few at 256 and 512 pixels).
_PLANS = {
    'BigGANGenerator': _Plan('output_scale', 'arch_cfg', (32, 64, 128, 256, 512)),
    'BigGANDiscriminator': _Plan('input_scale', 'arch_cfg', (32, 64, 128)),
    'SNGANGenerator': _Plan('output_scale', 'channels_cfg', (32, 64, 128)),
    'SAGANGenerator': _Plan('output_scale', 'channels_cfg', (32, 64, 128)),
    'ProjDiscriminator': _Plan('input_scale', 'channels_cfg', (32, 64, 128)),
    'SAGANDiscriminator': _Plan('input_scale', 'channels_cfg', (32, 64, 128)),
}
# Packages whose generators are known to be called as training calls them.
_KNOWN_PACKAGES = ('cellgan_plugin', 'mmagic')
_SIZES_OF_GENERATORS = ('out_size', 'output_scale')
_SIZES_OF_DISCRIMINATORS = ('in_size', 'input_scale')


def _first(source: Any, names: Tuple[str, ...]) -> Tuple[Optional[str], Optional[int]]:
    """The first of ``names`` that a config or a network says, and its value."""
    for name in names:
        value = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
        if value is not None:
            return name, value
    return None, None


def _inner(discriminator: Any) -> Any:
    """The config of the discriminator inside an AugmentedDiscriminator, or itself."""
    while isinstance(discriminator, Mapping) and isinstance(
        discriminator.get('discriminator'), Mapping
    ):
        discriminator = discriminator['discriminator']
    return discriminator


def _networks(model: Mapping) -> Iterator[Tuple[str, Mapping]]:
    for name, part in (
        ('model.generator', model.get('generator')),
        ('model.discriminator', _inner(model.get('discriminator'))),
    ):
        if isinstance(part, Mapping):
            yield name, part


def check_model_config(model: Mapping) -> None:
    """Check the image sizes in the config of a GAN; costs nothing and builds nothing.

    Args:
        model (Mapping): ``config.model``. A model without generator and discriminator passes.

    Raises:
        ValueError: A network of MMagic has no layers for its size, the lists of its layers
            disagree, or generator and discriminator differ in size. The message names the
            argument.
    """
    said = []
    for name, part in _networks(model):
        plan = _PLANS.get(str(part.get('type')).rsplit('.', 1)[-1])
        if plan is not None:
            _check_plan(name, part, plan)
        # DCGAN's discriminator has an output_scale too: the side of its map of logits.
        made = name == 'model.generator'
        argument, size = _first(part, _SIZES_OF_GENERATORS if made else _SIZES_OF_DISCRIMINATORS)
        if size is not None and size != 'auto':  # as large as the images, see --data
            said.append((f'{name}.{argument}', size))
    if len({height_and_width(*entry) for entry in said}) > 1:
        # Many a discriminator takes images of any size, and would train on without a word.
        raise ValueError(
            ' but '.join(f'{name}={size}' for name, size in said) + ': they must be equal'
        )


def _check_plan(name: str, part: Mapping, plan: _Plan) -> None:
    size, layers = part.get(plan.size), part.get(plan.layers)
    if layers is None and size not in plan.sizes:
        known = ', '.join(map(str, plan.sizes))
        raise ValueError(
            f'{name}.{plan.size}={size!r}: {part["type"]} knows its layers for {known} pixels; '
            f'take one of these, or say the layers in {name}.{plan.layers}'
        )
    if isinstance(layers, Mapping):
        lengths = {key: len(value) for key, value in layers.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f'{name}.{plan.layers}: its lists have one entry per block each, but their lengths '
                'are ' + ', '.join(f'{key} {length}' for key, length in lengths.items())
            )
    if plan.size != 'output_scale' or layers is None:
        return
    doublings = sum(map(bool, layers['upsample'])) if isinstance(layers, Mapping) else len(layers)
    made = part.get('input_scale', 4) * 2**doublings
    if made != size:
        raise ValueError(
            f'{name}.{plan.size}={size!r} but the blocks in its {plan.layers} make {made} pixels: '
            'the size must be a power of two, with one upsampling block per doubling'
        )


@torch.no_grad()
def generated_shape(model: nn.Module) -> Tuple[int, int, int]:
    """Shape (channels, height, width) of what a conditional GAN generates.

    Args:
        model (nn.Module): With ``generator`` and ``noise_size``. A generator that does not say
            its ``out_size`` and ``out_channels`` is run once, on one z of zeros; one that comes
            with neither this plugin nor MMagic is run in any case.

    Returns:
        tuple[int, int, int]: The shape.

    Raises:
        ValueError: A generator of the user's cannot be called as training calls it.
    """
    generator = unwrap(model.generator)
    if type(generator).__module__.partition('.')[0] not in _KNOWN_PACKAGES:
        return tuple(_images_of_own_generator(model, generator).shape[1:])
    size, channels = (getattr(generator, name, None) for name in ('out_size', 'out_channels'))
    if size is not None and channels is not None:
        return channels, *height_and_width('out_size', size)
    device = next(generator.parameters()).device
    with evaluating(generator):  # batch statistics and singular vectors stay as they are
        image = generator(
            torch.zeros(1, model.noise_size, device=device),
            label=torch.zeros(1, dtype=torch.long, device=device),
        )
    return tuple(image.shape[1:])


def _images_of_own_generator(model: nn.Module, generator: nn.Module) -> Tensor:
    """Two images of a generator of the user's, called as in a training step; see docs/extend.md."""
    kind = f'model.generator, {type(generator).__name__}'
    if model.noise_size is None:
        raise ValueError(f'{kind}: say noise_size in its config, or set self.noise_size')
    device = next((entry.device for entry in generator.parameters()), torch.device('cpu'))
    noise = torch.zeros(2, model.noise_size, device=device)
    label = torch.zeros(2, dtype=torch.long, device=device)
    given = 'label (2,), int64'
    if isinstance(model, CellGAN):
        label = class_weights(label, model.num_classes)
        given = f'label {tuple(label.shape)}, class weights'
    call = (
        f'forward(noise, label=label, return_noise=False) with noise {tuple(noise.shape)}, {given}'
    )
    try:
        with evaluating(generator), torch.random.fork_rng(devices=[]):
            # Not through __call__: a compiled generator would be compiled for these two as well.
            images = generator.forward(noise, label=label, return_noise=False)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        place = where_raised(error)
        place = '' if place.startswith(__file__) else f' ({place})'  # not the call itself
        raise ValueError(
            f'{kind}: {call} fails: {type(error).__name__}: {error}{place}. docs/extend.md shows '
            'a generator that fits'
        ) from error
    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) != len(noise):
        shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f'{kind}: {call} returns {shape}; images (2, C, H, W) expected')
    return images


def check_model_and_data(model: nn.Module, dataset) -> None:
    """Compare a model of any kind with its training set, before the first step.

    Args:
        model (nn.Module): Its own ``check_dataset`` is asked, where it has one. Else a conditional
            GAN goes through :func:`check_training_set`, and a GAN without classes is refused a
            training set of several, and a classifier of MMPretrain goes through
            :func:`check_classifier`. Models of other kinds pass.
        dataset (BaseDataset): The training set.

    Raises:
        ValueError: They do not fit; the message says what to change.
    """
    if hasattr(model, 'check_dataset'):
        model.check_dataset(dataset)
    elif isinstance(model, BaseConditionalGAN):
        check_training_set(model, dataset)
    elif _is_image_classifier(model):
        check_classifier(model, dataset)
    elif isinstance(model, BaseGAN):
        classes = dataset.metainfo.get('classes') or ()
        if len(classes) > 1:
            raise ValueError(
                f'{type(model).__name__} knows no classes: from a training set of {len(classes)} '
                f'({", ".join(classes)}) it would learn a mixture, and its images would have no '
                'label. Train it on each class by itself: --cfg-options '
                f'"train_dataloader.dataset.metainfo.classes=[{classes[0]}]" '
                'train_dataloader.dataset.extra_classes=skip --work-dir '
                f'work_dirs/{type(model).__name__.lower()}_{classes[0]}. Or train a '
                'class-conditional GAN, e.g. configs/biggan or configs/sngan_proj'
            )


def _is_image_classifier(model: nn.Module) -> bool:
    """Whether it is MMPretrain's ``ImageClassifier`` with a head; MMPretrain is not imported."""
    kinds = {f'{kind.__module__}.{kind.__name__}' for kind in type(model).__mro__}
    known = 'mmpretrain.models.classifiers.image.ImageClassifier'
    return known in kinds and model.with_head


@torch.no_grad()
def check_classifier(model: nn.Module, dataset) -> None:
    """Does the head of a classifier take as many numbers as its backbone gives?

    Args:
        model (nn.Module): MMPretrain's ``ImageClassifier``; it makes features of one image.
        dataset (BaseDataset): Its samples have ``inputs``, or ``inputs['img']``, (C, H, W).

    Raises:
        ValueError: The backbone returns no tuple, or ``head.in_channels`` is another number.
    """
    inputs = dataset[0].get('inputs')
    image = inputs.get('img') if isinstance(inputs, dict) else inputs
    if not isinstance(image, Tensor) or image.ndim != 3:
        return
    weights = next(model.parameters())
    backbone = f'model.backbone, {type(model.backbone).__name__}'
    with evaluating(model):
        features = model.backbone(image[None].to(weights))
        # Without a neck a list does as well: the head takes the last entry.
        if not isinstance(features, tuple if model.with_neck else (tuple, list)):
            raise ValueError(f'{backbone}: forward returns no tuple of feature maps')
        features = model.neck(features) if model.with_neck else features
    last, taken = features[-1], getattr(model.head, 'in_channels', None)
    if isinstance(last, Tensor) and last.ndim == 2 and taken not in (None, last.shape[1]):
        raise ValueError(
            f'model.head.in_channels={taken}, but {backbone}, gives {last.shape[1]}: set '
            f'model.head.in_channels={last.shape[1]}'
        )


def check_classes(model: nn.Module, dataset) -> None:
    """ValueError where a data set names another number of classes than ``model.num_classes``."""
    classes = dataset.metainfo.get('classes')
    if None not in (classes, model.num_classes) and len(classes) != model.num_classes:
        raise ValueError(
            f'model.num_classes={model.num_classes} but the training set has {len(classes)} '
            f'classes ({", ".join(classes)}): set model.num_classes, or '
            'train_dataloader.dataset.metainfo.classes'
        )


def check_training_set(model: nn.Module, dataset) -> None:
    """Compare a training set with a conditional GAN, MMagic's own ones included.

    Args:
        model (nn.Module): With ``num_classes``, ``generator`` and perhaps ``discriminator``.
        dataset (BaseDataset): With ``metainfo['classes']``; its samples have ``inputs['img']``
            (C, H, W).

    Raises:
        ValueError: When classes, image size or channels differ; the message names both sides.
    """
    check_classes(model, dataset)
    inputs = dataset[0]['inputs']
    shape = tuple((inputs['img'] if isinstance(inputs, dict) else inputs).shape)
    made = generated_shape(model)
    generator, discriminator = unwrap(model.generator), getattr(model, 'discriminator', None)
    of_generator = _first(generator, _SIZES_OF_GENERATORS)[0] or 'the size'
    of_discriminator, size = None, None
    if discriminator is not None:
        of_discriminator, size = _first(unwrap(discriminator), _SIZES_OF_DISCRIMINATORS)
    if shape != made:
        other = f' (and {of_discriminator} of model.discriminator)' if of_discriminator else ''
        raise ValueError(
            f'the training set gives images of shape {shape} (channels, height, width) but the '
            f'generator makes {made}: set out_size of FitCellPatch and channels of the data set, '
            f'or {of_generator} and out_channels of model.generator{other}'
        )
    if size is not None and height_and_width(of_discriminator, size) != shape[1:]:
        raise ValueError(
            f'model.discriminator.{of_discriminator}={size} but the images have {shape[1]}x'
            f'{shape[2]} pixels (height x width): they must be equal'
        )
