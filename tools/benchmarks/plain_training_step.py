"""CellGAN's training step, literally as in the paper: the reference of ``train_step.py``.

Every block is literal: upsample, then normalise, then convolve the enlarged map. R1, on images
without augmentation, differentiates a second forward twice. Each forward computes its own spectral
norms. Optimizer and average go weight by weight, in float32, without compilation. Like any careful
program, it builds no generator graph in the discriminator's turn, and skips decoders whose images
no loss uses.

The modules of a :class:`cellgan_plugin.models.CellGAN` only hold the weights. So both steps can
start from the same weights, and ``tests/models/test_training_step.py`` can compare their results.
"""

from typing import Dict, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2


def up_block(block: nn.Module, x: Tensor, embedding: Tensor, shift: Tensor) -> Tensor:
    """Upsample x2, AdaIN, LeakyReLU, 3x3 convolution (Suppl. Fig. 1a)."""
    x = F.interpolate(x, scale_factor=2, mode='nearest')
    scale, bias = (block.adain.affine(embedding) + shift)[:, :, None, None].chunk(2, dim=1)
    x = F.instance_norm(x) * (1 + scale) + bias
    return F.conv2d(F.leaky_relu(x, SLOPE), block.conv.weight, padding=1)


def global_context(skip: nn.Module, low: Tensor) -> Tensor:
    """SGC (Suppl. Fig. 2): softmax pooling, two 1x1 convolutions."""
    weights = skip.attention(low).flatten(2).softmax(dim=-1)
    context = (low.flatten(2) * weights).sum(dim=-1)[:, :, None, None]
    return skip.expand(F.leaky_relu(skip.squeeze(context), SLOPE))


def generate(net: nn.Module, noise: Tensor, label: Tensor) -> Tensor:
    """The generator (Sec. 2.1, Fig. 1): z (N, noise_size), labels (N,) to images (N, C, S, S)."""
    embedding = F.one_hot(label, net.num_classes).to(noise.dtype)
    for layer in net.mapping.layers:
        embedding = F.leaky_relu(layer(embedding), SLOPE)
    maps = {4: F.conv_transpose2d(noise[:, :, None, None], net.init.weight)}
    shift = noise.new_zeros(())
    for key, block in net.up_blocks.items():
        size = int(key)
        maps[size] = up_block(block, maps[size // 2], embedding, shift)
        shift = noise.new_zeros(())
        if size in net.skip_sources:
            context = global_context(net.skips[key], maps[net.skip_sources[size]])
            if net.sgc_fusion == 'modulate' and size < net.out_size:
                shift = context.flatten(1)
            else:
                maps[size] = maps[size] + context
    return torch.tanh(F.conv2d(maps[net.out_size], net.to_image.weight, padding=1))


def decode(decoder: nn.Module, x: Tensor) -> Tensor:
    """A reconstruction decoder (Suppl. Fig. 1c)."""
    for conv in decoder.convs:
        x = F.interpolate(F.leaky_relu(x, SLOPE), scale_factor=2, mode='nearest')
        x = F.conv2d(x, conv.weight, padding=1)
    return torch.tanh(F.conv2d(x, decoder.to_image.weight, padding=1))


def evaluate(net: nn.Module, img: Tensor, label: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """The discriminator (Sec. 2.2): 8x8 logits, and the 16x16 and 8x8 maps before them."""
    x = F.conv2d(img, net.stem.weight, padding=1)
    for block in net.down_blocks.values():
        activated = F.leaky_relu(x, SLOPE)
        main = F.conv2d(activated, block.conv1.weight, stride=2, padding=1)
        main = F.conv2d(F.leaky_relu(main, SLOPE), block.conv2.weight, padding=1)
        x = main + F.conv2d(F.avg_pool2d(activated, 2), block.shortcut.weight)
    embedding = net.class_embedding(F.one_hot(label, net.num_classes).to(img.dtype))
    logits = F.conv2d(x, net.to_logits.weight)
    logits = logits + (x * embedding[:, :, None, None]).sum(dim=1, keepdim=True)
    return logits, activated, x


def discriminator_losses(
    model: nn.Module, real: Tensor, label: Tensor, seen: Tensor, fake: Tensor, offset
) -> Dict[str, Tensor]:
    """Eq. (2) for the discriminator, ``seen`` and ``fake`` being augmented."""
    net = model.discriminator
    logits, activated, last = evaluate(net, seen, label)
    top, left = offset
    crop = decode(net.crop_decoder, activated[:, :, top : top + 8, left : left + 8])
    half = decode(net.half_decoder, last)
    fake_logits, _, _ = evaluate(net, fake, label)
    scale = net.in_size // 16
    rows, columns = (slice(o * scale, (o + 8) * scale) for o in offset)
    half_target = F.interpolate(seen, scale_factor=0.5, mode='nearest')
    real = real.detach().requires_grad_()
    again, _, _ = evaluate(net, real, label)
    (gradient,) = torch.autograd.grad(again.sum(), real, create_graph=True)
    return dict(
        loss_disc_real=F.relu(1 - logits).mean(),
        loss_disc_fake=F.relu(1 + fake_logits).mean(),
        loss_recon=F.l1_loss(crop, seen[:, :, rows, columns]) + F.l1_loss(half, half_target),
        loss_r1=model.r1_loss.loss_weight * gradient.square().sum(dim=(1, 2, 3)).mean(),
    )


def training_step(
    model: nn.Module,
    average: nn.Module,
    momentum: float,
    optimizers: Dict[str, torch.optim.Optimizer],
    real: Tensor,
    label: Tensor,
    numbers: Dict[str, Tensor],
) -> Dict[str, Tensor]:
    """One iteration: discriminator, generator, moving average.

    Args:
        model (CellGAN): Its networks' weights are updated, and its augmentation is used.
        average (nn.Module): The averaged generator.
        momentum (float): Of the average.
        optimizers (dict[str, Optimizer]): ``discriminator`` and ``generator``.
        real (Tensor): Images (N, C, S, S) in [-1, 1].
        label (Tensor): (N,), of real and generated images alike.
        numbers (dict): ``noise_disc`` and ``noise_gen`` (N, noise_size), ``augment_real``,
            ``augment_fake`` and ``augment_gen`` (N, numbers of the augmentation), ``crop``.

    Returns:
        dict[str, Tensor]: The losses.
    """
    with torch.no_grad():
        fake = generate(model.generator, numbers['noise_disc'], label)
    losses = discriminator_losses(
        model,
        real,
        label,
        model.augment(real, numbers['augment_real']),
        model.augment(fake, numbers['augment_fake']),
        numbers['crop'],
    )
    sum(losses.values()).backward()
    optimizers['discriminator'].step()
    optimizers['discriminator'].zero_grad()

    fake = generate(model.generator, numbers['noise_gen'], label)
    seen = model.augment(fake, numbers['augment_gen'])
    logits, _, _ = evaluate(model.discriminator, seen, label)
    losses['loss_gen'] = -logits.mean()
    losses['loss_gen'].backward()
    optimizers['generator'].step()
    for optimizer in optimizers.values():
        optimizer.zero_grad()
    with torch.no_grad():
        pairs = zip(average.parameters(), model.generator.parameters(), strict=True)
        for averaged, own in pairs:
            averaged.copy_((1 - momentum) * averaged + momentum * own)
        for averaged, own in zip(average.buffers(), model.generator.buffers(), strict=True):
            averaged.copy_(own)
    return losses
