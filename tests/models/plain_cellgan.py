"""CellGAN once more, plainly: functions over a dict of weights named as the authors name them.

Written from the description of their program, sharing no code with cellgan_plugin. Everything is
in evaluation mode. Where their activations work in place, the tensors here are overwritten too
(``leaky_relu_``), so that what a later branch reads is what it reads there.
"""

import torch
import torch.nn.functional as F


def weight(state, name, transposed=False):
    """A weight divided by its singular value u' W v."""
    original = state[f'{name}.weight_orig']
    matrix = (original.transpose(0, 1) if transposed else original).reshape(
        original.shape[1 if transposed else 0], -1
    )
    return original / (state[f'{name}.weight_u'] @ matrix @ state[f'{name}.weight_v'])


def linear(state, name, x):
    return F.linear(x, weight(state, name), state.get(f'{name}.bias'))


def conv(state, name, x, stride=1):
    kernel = weight(state, name)
    return F.conv2d(x, kernel, None, stride, kernel.shape[-1] // 2)


def numbers(state, prefix):
    """The numbers n of the keys ``prefix_n...`` or ``prefix.n...``."""
    heads = [key[len(prefix) + 1 :] for key in state if key.startswith(prefix)]
    return sorted({int(head.split('.')[0].split('_')[0]) for head in heads})


def upsample(x):
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


def normalise(x):
    mean = x.mean(dim=(2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=(2, 3), keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def generator(state, z, label):
    classes = state['cls_map_net.net.0.weight_orig'].shape[1]
    c = torch.eye(classes, dtype=z.dtype)[label]
    for i in numbers(state, 'cls_map_net.net'):
        c = F.leaky_relu_(linear(state, f'cls_map_net.net.{i}', c), 0.2)
    maps = {
        4: F.conv_transpose2d(z[:, :, None, None], weight(state, 'init_z.init', transposed=True))
    }
    for size in numbers(state, 'up'):
        x = upsample(maps[size // 2])
        scale, bias = linear(state, f'up_{size}.main.1.affine_cond', c).chunk(2, dim=1)
        x = (1 + scale[:, :, None, None]) * normalise(x) + bias[:, :, None, None]
        x = conv(state, f'up_{size}.main.3', F.leaky_relu_(x, 0.2))
        source = size // 8
        if f'se_{source}_{size}.to_context.weight_orig' in state:
            x = x + context(state, f'se_{source}_{size}', maps[source])
        maps[size] = x
    return torch.tanh(conv(state, 'to_out.0', maps[max(maps)]))


def context(state, name, low):
    n, channels, h, w = low.shape
    attention = conv(state, f'{name}.to_context', low).reshape(n, h * w, 1).softmax(dim=1)
    pooled = torch.bmm(low.reshape(n, channels, h * w), attention).reshape(n, channels, 1, 1)
    x = F.leaky_relu_(conv(state, f'{name}.transform.0', pooled), 0.2)
    return conv(state, f'{name}.transform.2', x)


def discriminator(state, img, label, crop_pixels=None):
    """Logits; with ``crop_pixels`` (row, column) logits, the rebuilt crop and half-size image."""
    sizes = numbers(state, 'down')[::-1]
    x = conv(state, f'down_{sizes[0]}', img)
    maps = {sizes[0]: x}
    for size in sizes[1:]:
        x = maps[2 * size]
        # Overwrites maps[2 * size]: the shortcut below and the crop decoder read activated values.
        main = conv(state, f'down_{size}.main.1', F.leaky_relu_(x, 0.2), stride=2)
        main = conv(state, f'down_{size}.main.3', F.leaky_relu_(main, 0.2))
        maps[size] = main + conv(state, f'down_{size}.shortcut.1', F.avg_pool2d(x, 2))
    last = maps[8]
    classes = state['to_cls_embed.weight_orig'].shape[1]
    embedding = linear(state, 'to_cls_embed', torch.eye(classes, dtype=img.dtype)[label])
    logits = conv(state, 'to_logits', last)
    logits = logits + torch.einsum('nchw,nc->nhw', last, embedding)[:, None]
    if crop_pixels is None:
        return logits
    top, left = (16 * pixels // sizes[0] for pixels in crop_pixels)
    window = maps[16][:, :, top : top + 8, left : left + 8]
    return logits, decoder(state, 'decoder_part', window), decoder(state, 'decoder_overall', last)


def decoder(state, name, x):
    x = F.adaptive_avg_pool2d(x, 8)
    *stages, final = numbers(state, f'{name}.main')
    for i in stages:
        x = conv(state, f'{name}.main.{i}.main.2', upsample(F.leaky_relu_(x, 0.2)))
    return torch.tanh(conv(state, f'{name}.main.{final}', x))


def reconstruction_loss(img, crop, half, crop_pixels):
    top, left = crop_pixels
    side = img.shape[-1] // 2
    target = img[:, :, top : top + side, left : left + side]
    return (crop - target).abs().mean() + (half - img[:, :, ::2, ::2]).abs().mean()


def r1(state, img, label):
    img = img.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(state, img, label).sum(), img, None, True, True)
    return (gradient**2).flatten(1).sum(dim=1).mean()


def random_state(shapes, seed=0):
    """Weights for {module name: shape}; names ending in '+' have a bias too."""
    draws = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        module = name.rstrip('+')
        original = torch.randn(shape, generator=draws)
        matrix = original.transpose(0, 1) if module == 'init_z.init' else original
        matrix = matrix.reshape(matrix.shape[0], -1)
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        state[f'{module}.weight_orig'] = original
        state[f'{module}.weight_u'], state[f'{module}.weight_v'] = left[:, 0], right[0]
        if name.endswith('+'):
            out = 0.5 * torch.randn(shape[0], generator=draws)
            state[f'{module}.bias'] = out
    return state


CHANNELS = {4: 16, 8: 16, 16: 8, 32: 8, 64: 4, 128: 2, 256: 1}


def generator_shapes(size=256, base=4, classes=5, noise=8, embed=8, colors=3):
    channels = {pixels: base * multiple for pixels, multiple in CHANNELS.items()}
    shapes = {'cls_map_net.net.0+': (embed, classes)}
    shapes.update({f'cls_map_net.net.{i}+': (embed, embed) for i in (2, 4, 6)})
    shapes['init_z.init'] = (noise, channels[4], 4, 4)
    for pixels in [p for p in CHANNELS if 4 < p <= size]:
        before, after = channels[pixels // 2], channels[pixels]
        shapes[f'up_{pixels}.main.1.affine_cond+'] = (2 * before, embed)
        shapes[f'up_{pixels}.main.3'] = (after, before, 3, 3)
        low = pixels // 8
        if low >= 8:
            shapes[f'se_{low}_{pixels}.to_context'] = (1, channels[low], 1, 1)
            shapes[f'se_{low}_{pixels}.transform.0'] = (after // 4, channels[low], 1, 1)
            shapes[f'se_{low}_{pixels}.transform.2'] = (after, after // 4, 1, 1)
    shapes['to_out.0'] = (colors, channels[size], 3, 3)
    return shapes


def discriminator_shapes(size=256, base=4, classes=5, colors=3, stages=(8, 8, 4, 4)):
    channels = {pixels: base * multiple for pixels, multiple in CHANNELS.items()}
    shapes = {f'down_{size}': (channels[size], colors, 3, 3)}
    for pixels in [p for p in CHANNELS if 8 <= p < size]:
        before, after = channels[2 * pixels], channels[pixels]
        shapes[f'down_{pixels}.main.1'] = (after, before, 3, 3)
        shapes[f'down_{pixels}.main.3'] = (after, after, 3, 3)
        shapes[f'down_{pixels}.shortcut.1'] = (after, before, 1, 1)
    shapes['to_logits'] = (1, channels[8], 1, 1)
    shapes['to_cls_embed'] = (channels[8], classes)
    for name, low in (('part', 16), ('overall', 8)):
        sizes = [channels[low], *stages]
        for i, (before, after) in enumerate(zip(sizes, stages, strict=False), start=1):
            shapes[f'decoder_{name}.main.{i}.main.2'] = (after, before, 3, 3)
        shapes[f'decoder_{name}.main.{len(stages) + 1}'] = (colors, stages[-1], 3, 3)
    return shapes
