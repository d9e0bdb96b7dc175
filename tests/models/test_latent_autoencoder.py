"""Stage 1: the autoencoders, their losses, and weights from files."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmagic.registry import METRICS
from mmengine import MessageHub
from tiny_latent_diffusion import (
    AUTOENCODER,
    VQ,
    batch,
    changed,
    copy_of,
    latent_autoencoder,
    latent_diffusion,
    optimizers,
)

from cellgan_plugin.models.latent_diffusion import build_autoencoder
from cellgan_plugin.models.latent_diffusion.autoencoder_weights import (
    find_autoencoder,
    load_autoencoder,
)
from cellgan_plugin.randomness import generator_for

pytestmark = pytest.mark.usefixtures('mmagic_scope')


def images(count=2, size=16, channels=3):
    generator = generator_for(0, 'images')
    return torch.rand(count, channels, size, size, generator=generator) * 2 - 1


# Shapes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize('kind', ['AutoencoderKL', 'VQModel'])
@pytest.mark.parametrize(
    'size, channels, in_channels, latent_channels, latent_size',
    [
        (16, [4], 3, 2, 16),
        (16, [4, 8], 1, 3, 8),
        (24, [4, 4, 8], 3, 4, 6),
        (32, [4, 4, 4, 8], 3, 2, 4),
    ],
)
@torch.no_grad()
def test_shapes(kind, size, channels, in_channels, latent_channels, latent_size):
    network = build_autoencoder(
        dict(
            AUTOENCODER,
            type=kind,
            sample_size=size,
            block_out_channels=channels,
            in_channels=in_channels,
            out_channels=in_channels,
            latent_channels=latent_channels,
        )
    )
    img = images(size=size, channels=in_channels)
    latents = network.encode(img)
    assert latents.shape[1:] == network.latent_shape == (latent_channels, *[latent_size] * 2)
    assert network.factor == size // latent_size
    assert network.decode(latents).shape == img.shape
    noise = torch.zeros(2, network.noise_size) if network.noise_size else None
    out = network(img, noise)
    assert out['reconstruction'].shape == img.shape and out['regulariser'].ndim == 0
    torch.testing.assert_close(out['reconstruction'], network.decode(latents))


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(type='Autoencoder'), r"autoencoder.type='Autoencoder': must be one of"),
        (dict(sample_size=15), r'sample_size=15: must be a multiple of 2, .* 2 entries'),
        (dict(sample_size=None), 'sample_size=None: must be a multiple'),
        (dict(norm_num_groups=3), 'AutoencoderKL of diffusers says: .*divisible'),
        (dict(depth=3), 'AutoencoderKL of diffusers says: .*depth'),
        (dict(down_block_types=['DownEncoderBlock2D']), 'down_block_types has 1 entries'),
        (dict(out_channels=1), 'in_channels=3 but out_channels=1'),
    ],
)
def test_mistakes_in_the_config(change, message):
    with pytest.raises(ValueError, match=message):
        build_autoencoder({**AUTOENCODER, **change})


def test_what_the_config_must_say():
    with pytest.raises(ValueError, match='autoencoder.sample_size is missing'):
        build_autoencoder(dict(type='VQModel', block_out_channels=[4]))


# Regularisers -----------------------------------------------------------------------------------


@torch.no_grad()
def test_kl_and_posterior_in_closed_form():
    network = build_autoencoder(AUTOENCODER)
    mean, log_variance = 0.7, -1.2
    network.net.quant_conv.weight.zero_()
    network.net.quant_conv.bias.copy_(torch.tensor([mean, mean, log_variance, log_variance]))
    divergence = 0.5 * (mean**2 + math.exp(log_variance) - 1 - log_variance)  # of one value
    noise = torch.randn(2, network.noise_size)
    out = network(images(), noise)
    values = 2 * 8 * 8
    assert out['regulariser'].item() == pytest.approx(divergence * values / (3 * 16 * 16))
    assert out['kl_nats'].item() == pytest.approx(divergence)
    drawn = mean + math.exp(log_variance / 2) * noise.view(2, 2, 8, 8)
    torch.testing.assert_close(network.encode(images(), noise), drawn)
    torch.testing.assert_close(network.encode(images()), torch.full((2, 2, 8, 8), mean))


@torch.no_grad()
def test_vq_takes_the_nearest_code():
    torch.manual_seed(0)
    network = build_autoencoder(VQ)
    codebook = network.net.quantize.embedding.weight
    codebook.normal_()
    latents = network.encode(images())
    flat = latents.permute(0, 2, 3, 1).reshape(-1, 1, 2)
    nearest = (flat - codebook).square().sum(dim=2).argmin(dim=1)
    codes = codebook[nearest].view(2, 8, 8, 2).permute(0, 3, 1, 2)
    out = network(images())
    squared = (codes - latents).square().mean()
    assert out['regulariser'].item() == pytest.approx(1.25 * squared.item(), rel=1e-5)
    assert out['codes_used'].item() == len(nearest.unique()) / 8
    expected = network.net.decode(codes, force_not_quantize=True, return_dict=False)[0]
    torch.testing.assert_close(out['reconstruction'], expected)
    torch.testing.assert_close(network.decode(latents), expected)  # the decoder quantises


def test_vq_gradients_reach_encoder_and_codebook():
    network = build_autoencoder(VQ)
    out = network(images())
    (out['reconstruction'].square().mean() + out['regulariser']).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


# Training steps ---------------------------------------------------------------------------------


def test_discriminator_and_adversarial_term_wait_for_their_start():
    model = latent_autoencoder(disc_start=2)
    optim = optimizers(model)
    before = copy_of(model.discriminator)
    for iteration in range(2):
        log = model.train_step(batch(iteration=iteration), optim)
        assert set(log) == {'loss', 'loss_l1', 'loss_kl', 'kl_nats', 'latent_std'}
        assert log['loss'].item() == pytest.approx(log['loss_l1'].item() + log['loss_kl'].item())
        assert not changed(before, model.discriminator)
    autoencoder = copy_of(model.autoencoder)
    log = model.train_step(batch(iteration=2), optim)
    assert {'loss_gen', 'loss_disc_real', 'loss_disc_fake', 'adaptive_weight'} <= set(log)
    parts = ('loss_l1', 'loss_kl', 'loss_gen')
    assert log['loss'].item() == pytest.approx(sum(log[name].item() for name in parts))
    assert changed(before, model.discriminator) and changed(autoencoder, model.autoencoder)
    assert all(p.requires_grad for p in model.discriminator.parameters())


@pytest.mark.parametrize('adaptive', [True, False])
def test_adversarial_weight_is_the_ratio_of_the_gradients(adaptive):
    # Without batch norm's statistics in the way: the discriminator's output is one of its input.
    model = latent_autoencoder(discriminator_weight=0.3, adaptive_weight=adaptive)
    img = model.data_preprocessor(batch(), True)['inputs']['img']
    size = model.autoencoder.noise_size
    noise = torch.randn(4, size, generator=generator_for(0, 'posterior', 0, 0))
    reconstruction = model.autoencoder(img, noise)['reconstruction']
    term = -model.discriminator(reconstruction).mean()
    last = model.autoencoder.net.decoder.conv_out.weight
    norms = [
        torch.autograd.grad(loss, last, retain_graph=True)[0].norm()
        for loss in (F.l1_loss(reconstruction, img), term)
    ]
    expected = 0.3 * term
    if adaptive:
        expected = expected * norms[0] / (norms[1] + 1e-4)
    log = model.train_step(batch(), optimizers(model))
    torch.testing.assert_close(log['loss_gen'], expected.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('config, weight', [(AUTOENCODER, 1e-6), (VQ, 1.0)])
def test_the_regulariser_has_the_weight_of_its_kind_or_of_the_config(config, weight):
    losses = {}
    for name, options in (('own', {}), ('ten', dict(regulariser_weight=10 * weight))):
        MessageHub._instance_dict.clear()
        model = latent_autoencoder(autoencoder=config, discriminator=None, **options)
        assert model.regulariser_weight == options.get('regulariser_weight', weight)
        log = model.train_step(batch(), optimizers(model))
        losses[name] = log[model.autoencoder.loss_name].item()
    assert losses['ten'] == pytest.approx(10 * losses['own'])


def test_same_numbers_give_the_same_steps():
    logs = []
    for _ in range(2):
        MessageHub._instance_dict.clear()
        model = latent_autoencoder()
        optim = optimizers(model)
        torch.rand(3)  # the global generator has no say
        steps = [model.train_step(batch(iteration=i), optim) for i in range(3)]
        logs.append([{k: v.item() for k, v in step.items()} for step in steps])
    assert logs[0] == logs[1]


def test_it_learns_a_single_image():
    # One colour per image: what a network without positions can learn in seconds.
    model = latent_autoencoder(discriminator=None)
    optim = optimizers(model, lr=0.01)
    data = batch(2)
    data['inputs']['img'] = [torch.full_like(x, 40 + 150 * i) for i, x in enumerate(
        data['inputs']['img'])]  # fmt: skip
    losses = [model.train_step(data, optim)['loss_l1'].item() for _ in range(25)]
    assert losses[-1] < 0.6 * losses[0]


def test_psnr_reads_its_predictions():
    model = latent_autoencoder().eval()
    data = batch()
    samples = model.val_step(data)
    assert [tuple(s.gt_img.shape) for s in samples] == [(3, 16, 16)] * 4
    whole = torch.stack(data['inputs']['img'])
    assert torch.equal(torch.stack([s.gt_img for s in samples]).flip(1), whole.float())
    rebuilt = model(model.data_preprocessor(data)['inputs'], mode='tensor')
    grey = (rebuilt + 1) * 127.5
    torch.testing.assert_close(
        torch.stack([s.output.pred_img for s in samples]).flip(1), grey.round()
    )
    metric = METRICS.build(dict(type='PSNR'))
    metric.size = 4
    metric.process(None, [s.to_dict() for s in samples])
    errors = (grey.round() - whole.float()).square().mean(dim=(1, 2, 3))
    expected = (20 * torch.log10(255 / errors.sqrt())).mean().item()
    assert metric.evaluate()['PSNR'] == pytest.approx(expected, rel=1e-4)


# Weights from files -----------------------------------------------------------------------------


@pytest.fixture
def stage_1(tmp_path):
    """A work directory with a checkpoint of stage 1."""
    model = latent_autoencoder(seed=5)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'iter_8.pth')
    return tmp_path, model


def assert_loaded(network, source):
    for (name, a), b in zip(
        network.state_dict().items(), source.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_weights_of_a_work_directory_and_of_a_file(stage_1):
    folder, model = stage_1
    for path in (folder, str(folder / 'iter_8.pth')):
        network = build_autoencoder(AUTOENCODER)
        assert load_autoencoder(network, path).path == folder / 'iter_8.pth'
        assert_loaded(network, model.autoencoder)


@pytest.mark.parametrize('config', [AUTOENCODER, VQ])
@pytest.mark.parametrize('inside', ['', 'vae'])
def test_weights_of_a_folder_of_diffusers(tmp_path, config, inside):
    torch.manual_seed(3)
    source = build_autoencoder(config)
    source.net.save_pretrained(tmp_path / inside)
    network = build_autoencoder(config)
    load_autoencoder(network, tmp_path)
    assert_loaded(network, source)


def test_the_images_that_trained_it_are_told_or_unknown(stage_1, tmp_path):
    folder, model = stage_1
    hashes = torch.arange(32, dtype=torch.uint8).reshape(2, 16)
    network = build_autoencoder(AUTOENCODER)
    assert load_autoencoder(network, folder).training_images is None
    path = tmp_path / 'with.pth'
    torch.save(dict(state_dict=model.state_dict(), training_images=hashes), path)
    assert torch.equal(load_autoencoder(network, path).training_images, hashes)
    diffusers = tmp_path / 'diffusers'
    network.net.save_pretrained(diffusers)
    assert load_autoencoder(network, diffusers).training_images is None
    (diffusers / 'training_images.txt').write_text('')
    assert load_autoencoder(network, diffusers).training_images.shape == (0, 16)
    (diffusers / 'training_images.txt').write_text(bytes(hashes[1].tolist()).hex() + '\n')
    assert torch.equal(load_autoencoder(network, diffusers).training_images, hashes[1:])


def test_a_folder_of_diffusers_with_another_architecture(tmp_path):
    build_autoencoder(dict(AUTOENCODER, block_out_channels=[4, 4])).net.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r'has block_out_channels=\[4, 4\], .* has \[4, 8\]'):
        load_autoencoder(build_autoencoder(AUTOENCODER), tmp_path)
    with pytest.raises(ValueError, match='is a AutoencoderKL of diffusers, .* is VQModel'):
        load_autoencoder(build_autoencoder(VQ), tmp_path)


def test_pickled_weights_of_diffusers_are_not_read(tmp_path):
    network = build_autoencoder(AUTOENCODER)
    network.net.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(FileNotFoundError, match='safetensors'):
        load_autoencoder(network, tmp_path)


def test_a_checkpoint_of_another_autoencoder(stage_1):
    folder, _ = stage_1
    wide = build_autoencoder(dict(AUTOENCODER, block_out_channels=[4, 12]))
    with pytest.raises(ValueError, match=r'of another autoencoder .* there, .* here'):
        load_autoencoder(wide, folder)
    with pytest.raises(ValueError, match='of another autoencoder than model.autoencoder'):
        load_autoencoder(build_autoencoder(VQ), folder)


def test_a_checkpoint_without_one(tmp_path):
    torch.save(dict(state_dict={'generator.weight': torch.zeros(1)}), tmp_path / 'iter_1.pth')
    with pytest.raises(ValueError, match='holds no autoencoder'):
        load_autoencoder(build_autoencoder(AUTOENCODER), tmp_path / 'iter_1.pth')


def test_missing_weights_name_the_command(tmp_path):
    command = 'python tools/train.py configs/a.py'
    for path, what in (
        (None, 'no trained autoencoder was given'),
        (tmp_path / 'no', 'no does not exist'),
        (tmp_path, 'holds neither a whole checkpoint nor'),
    ):
        with pytest.raises(FileNotFoundError, match=f'{what}.* Train stage 1 first: {command}'):
            find_autoencoder(path, 'configs/a.py')


def test_the_other_stage_takes_them(stage_1):
    folder, model = stage_1
    diffusion = latent_diffusion(trained=False, autoencoder_checkpoint=str(folder))
    diffusion.train_step(batch(), optimizers(diffusion))
    assert_loaded(diffusion.autoencoder, model.autoencoder)
