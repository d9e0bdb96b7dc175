"""Stage 2: the objective, the solvers, guidance, latents, and the interface of a GAN."""

import copy
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from mmagic.registry import MODELS
from mmengine import MessageHub
from mmengine.config import Config
from tiny_latent_diffusion import (
    AUTOENCODER,
    SCHEDULE,
    UNET,
    VQ,
    batch,
    changed,
    copy_of,
    latent_diffusion,
    optimizers,
)
from torch import nn

from cellgan_plugin.models import sample_pixels
from cellgan_plugin.models.latent_diffusion.sampler import guided, sampling_scheduler, solve
from cellgan_plugin.randomness import StepRandom, generator_for

pytestmark = pytest.mark.usefixtures('mmagic_scope')

# 1 - beta multiplied up, the schedule that is linear in the square root, in float64.
ALPHAS = (1 - torch.linspace(0.0015**0.5, 0.0195**0.5, 1000).double().square()).cumprod(0)


def noise(count, size=128):
    return torch.randn(count, size, generator=generator_for(0, 'noise'))


class Recorder(nn.Module):
    """Stands in for the U-Net: keeps what it is given, answers with a multiple of the latents."""

    def __init__(self, factor=0.3):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.calls = []

    def forward(self, latents, timesteps, label):
        self.calls.append(SimpleNamespace(latents=latents, timesteps=timesteps, label=label))
        return self.factor * latents


# The network ------------------------------------------------------------------------------------


@pytest.mark.parametrize('levels, size', [(1, 4), (2, 8), (3, 12)])
@torch.no_grad()
def test_unet_shapes_and_classes(levels, size):
    torch.manual_seed(0)
    net = MODELS.build(
        dict(
            UNET,
            num_classes=3,
            sample_size=size,
            in_channels=5,
            block_out_channels=[8] * levels,
            down_block_types=['DownBlock2D'] * levels,
            up_block_types=['UpBlock2D'] * levels,
        )
    )
    latents = torch.randn(4, 5, size, size)
    timesteps, label = torch.tensor([0, 10, 500, 999]), torch.tensor([0, 1, 2, 3])
    out = net(latents, timesteps, label)
    assert out.shape == latents.shape and net.noise_size == 5 * size * size
    one_hot = torch.eye(4)[label]
    torch.testing.assert_close(net(latents, timesteps, one_hot), out)
    without_null = torch.eye(3)[[0, 1, 2, 2]]
    torch.testing.assert_close(net(latents, timesteps, without_null)[:3], out[:3])
    for others in ((timesteps.flip(0), label), (timesteps, label.flip(0))):
        assert (net(latents, *others) - out).abs().max() > 1e-4


# The objective ----------------------------------------------------------------------------------


def expected_target(kind, latents, eps, alphas):
    if kind == 'epsilon':
        return eps
    if kind == 'sample':
        return latents
    return alphas.sqrt() * eps - (1 - alphas).sqrt() * latents  # Salimans & Ho 2022, App. D


@pytest.mark.parametrize('kind', ['epsilon', 'v_prediction', 'sample'])
def test_loss_is_that_of_the_formula(kind):
    model = latent_diffusion(scheduler=dict(SCHEDULE, prediction_type=kind))
    model.generator = Recorder()
    model.step_random = StepRandom(3, 7)
    latents = torch.randn(6, 2, 8, 8)
    loss = model.diffusion_loss(latents, torch.tensor([0, 1, 2, 0, 1, 2]))

    draws = StepRandom(3, 7)
    timesteps = (draws.uniform('timestep', 6, 1)[:, 0] * 1000).long()
    eps = draws.normal('diffusion_noise', 6, 128).view(6, 2, 8, 8).double()
    alphas = ALPHAS[timesteps].view(6, 1, 1, 1)
    noisy = alphas.sqrt() * latents.double() + (1 - alphas).sqrt() * eps
    (call,) = model.generator.calls
    assert torch.equal(call.timesteps, timesteps)
    torch.testing.assert_close(call.latents.double(), noisy, rtol=1e-4, atol=1e-5)
    error = 0.3 * noisy - expected_target(kind, latents.double(), eps, alphas)
    assert loss.item() == pytest.approx(error.square().mean().item(), rel=1e-4)


def test_timesteps_and_null_labels_are_spread_as_said():
    model = latent_diffusion(label_dropout=0.25)
    model.generator = Recorder()
    labels = torch.arange(4000) % 3
    model.step_random = StepRandom(0, 0)
    model.diffusion_loss(torch.randn(4000, 2, 8, 8), labels)
    (call,) = model.generator.calls
    null = call.label == 3
    assert torch.equal(call.label[~null], labels[~null])
    assert null.float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert 0 <= call.timesteps.min() and call.timesteps.max() == 999
    assert call.timesteps.float().mean().item() == pytest.approx(499.5, abs=20)


# Solvers ----------------------------------------------------------------------------------------


def alpha(timestep):
    return ALPHAS[timestep].item()


@pytest.mark.parametrize('name, steps', [('ddim', 1), ('ddim', 5), ('ddim', 20), ('dpm', 7)])
def test_a_network_that_knows_the_noise_recovers_the_latents(name, steps):
    clean, eps = torch.randn(2, 3, 2, 4, 4).double()
    a = alpha(999)
    start = a**0.5 * clean + (1 - a) ** 0.5 * eps

    def predict(latents, timestep):
        a = alpha(timestep)
        return (latents - a**0.5 * clean) / (1 - a) ** 0.5

    scheduler = sampling_scheduler(name, SCHEDULE, steps)
    assert scheduler.timesteps[0] == 999 and len(scheduler.timesteps) == steps
    found = solve(predict, start, scheduler)
    torch.testing.assert_close(found.double(), clean, rtol=1e-3, atol=1e-3)


def gaussian(std, kind):
    """The best possible prediction for latents from N(0, std^2), in closed form."""

    def predict(latents, timestep):
        a = alpha(timestep)
        clean = a**0.5 * std**2 / (a * std**2 + 1 - a) * latents
        eps = (latents - a**0.5 * clean) / (1 - a) ** 0.5
        return expected_target(kind, clean, eps, torch.tensor(a))

    return predict


@pytest.mark.parametrize('kind', ['epsilon', 'v_prediction', 'sample'])
def test_ddim_on_gaussian_data_step_by_step(kind):
    """Song et al. 2021, Eq. (12) with eta = 0, multiplied up by hand."""
    std, steps = 0.6, 10
    expected = 1.0
    for timestep in range(999, 0, -100):
        a, after = alpha(timestep), alpha(timestep - 100) if timestep > 100 else 1.0
        clean = a**0.5 * std**2 / (a * std**2 + 1 - a)
        eps = (1 - a**0.5 * clean) / (1 - a) ** 0.5
        expected *= after**0.5 * clean + (1 - after) ** 0.5 * eps
    start = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    schedule = dict(SCHEDULE, prediction_type=kind)
    found = solve(gaussian(std, kind), start, sampling_scheduler('ddim', schedule, steps))
    assert found.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('std', [0.3, 0.6, 1.0])
@pytest.mark.parametrize('name, steps', [('ddim', 500), ('dpm', 20), ('dpm', 33)])
def test_gaussian_data_get_their_standard_deviation(name, steps, std):
    """The probability flow maps N(0, var_T) linearly to N(0, std^2)."""
    a = alpha(999)
    expected = std / (a * std**2 + 1 - a) ** 0.5
    start = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    scheduler = sampling_scheduler(name, SCHEDULE, steps)
    found = solve(gaussian(std, 'epsilon'), start, scheduler)
    assert found.item() == pytest.approx(expected, rel=0.02 if name == 'dpm' else 0.04)


def test_as_many_steps_as_timesteps():
    """Many of them fall on one timestep; none is left out."""
    start = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    found = solve(gaussian(0.5, 'epsilon'), start, sampling_scheduler('dpm', SCHEDULE, 1000))
    assert found.item() == pytest.approx(0.5, rel=0.01)


def test_few_steps_of_ddim_lose_contrast():
    """Why the configs sample with DPM-Solver."""
    start = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    found = solve(gaussian(0.3, 'epsilon'), start, sampling_scheduler('ddim', SCHEDULE, 20))
    assert found.item() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (('euler', SCHEDULE, 10), "sampler='euler': must be one of"),
        (('ddim', SCHEDULE, 30), r'=30: .* must divide the 1000 .* e.g. 25 or 40'),
        (('ddim', SCHEDULE, 600), 'e.g. 500 or 1000'),
        (('dpm', SCHEDULE, 0), '=0: must be a whole number, 1 to 1000'),
        (('dpm', SCHEDULE, 2.5), '=2.5: must be a whole number'),
        (('ddim', dict(SCHEDULE, eta=1.0), 10), r'scheduler\.eta: there is no'),
        (('ddim', dict(SCHEDULE, prediction_type='x0'), 10), "prediction_type='x0'"),
    ],
)
def test_mistakes_in_sampling(arguments, message):
    with pytest.raises(ValueError, match=message):
        sampling_scheduler(*arguments)


# Guidance ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('form', ['int', 'weights'])
@pytest.mark.parametrize('scale, evaluations', [(0.0, 1), (1.0, 1), (2.5, 2), (0.5, 2)])
@torch.no_grad()
def test_guidance_formula(scale, evaluations, form):
    network = latent_diffusion().generator
    seen = []
    network.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    latents, label = torch.randn(3, 2, 8, 8), torch.tensor([2, 0, 1])
    timesteps = torch.full((3,), 400)
    conditional = network(latents, timesteps, label)
    null = network(latents, timesteps, torch.full((3,), 3))
    assert (conditional - null).abs().max() > 1e-3
    seen.clear()
    given = label if form == 'int' else torch.eye(3)[label]
    found = guided(network, given, 3, scale)(latents, 400)
    torch.testing.assert_close(found, null + scale * (conditional - null), rtol=1e-4, atol=1e-5)
    assert sum(seen) == 3 * evaluations


# The interface of a GAN -------------------------------------------------------------------------


def images(model, z, labels, **sample_kwargs):
    inputs = dict(noise=z, labels=labels, sample_kwargs=sample_kwargs)
    return model(inputs, mode='tensor')


@pytest.mark.parametrize('sampler', ['ddim', 'dpm'])
def test_an_image_is_a_function_of_noise_and_label(sampler):
    model = latent_diffusion(sampling=dict(sampler=sampler, num_inference_steps=4)).eval()
    z, labels = noise(5), [0, 1, 2, 0, 1]
    together = images(model, z, labels)
    assert together.shape == (5, 3, 16, 16) and not together.requires_grad
    assert together.min() >= -1 and together.max() <= 1
    assert torch.equal(images(model, z, labels), together)
    for start, end in ((0, 1), (1, 4), (4, 5)):
        part = images(model, z[start:end], labels[start:end])
        torch.testing.assert_close(part, together[start:end], rtol=1e-4, atol=1e-4)
    assert (images(model, z, [1, 2, 0, 1, 2]) - together).abs().max() > 1e-3


def test_sampling_options_reach_the_solver():
    model = latent_diffusion().eval()
    z, labels = noise(2), [0, 1]
    base = images(model, z, labels)
    assert torch.equal(images(model, z, labels, num_inference_steps=4, sampler='dpm'), base)
    for options in (
        dict(num_inference_steps=5),
        dict(sampler='ddim'),
        dict(guidance_scale=3.0),
        dict(guidance_scale=0.0),
    ):
        assert (images(model, z, labels, **options) - base).abs().max() > 1e-4, options
    null = images(model, z, labels, guidance_scale=0.0)
    assert torch.equal(images(model, z, [2, 2], guidance_scale=0.0), null)
    with pytest.raises(ValueError, match='sampling.truncation: there is no such option'):
        images(model, z, labels, truncation=0.7)


def test_both_networks_the_tools_function_and_mixed_classes():
    model = latent_diffusion().eval()
    with torch.no_grad():
        for parameter in model.generator_ema.parameters():
            parameter.mul_(1.3)
    z, labels = noise(3), torch.tensor([2, 0, 1])
    both = model(dict(noise=z, labels=labels, sample_model='ema/orig'))
    pixels = {
        name: torch.stack([s.get(name).fake_img for s in both]).flip(1).round().byte()
        for name in ('ema', 'orig')
    }
    assert not torch.equal(pixels['ema'], pixels['orig'])
    for name in ('ema', 'orig'):
        assert torch.equal(sample_pixels(model, z, labels, sample_model=name), pixels[name])
    assert torch.equal(sample_pixels(model, z, labels), pixels['ema'])
    mixed = sample_pixels(model, z, torch.eye(3)[labels])
    assert (mixed.int() - pixels['ema'].int()).abs().max() <= 1
    assert model.noise_size == 128 and model.num_classes == 3 and model.with_ema_gen


def test_latents_are_scaled_back_before_decoding():
    model = latent_diffusion()
    model.latent_scale.fill_(0.25)
    latents = torch.randn(3, 2, 8, 8)
    with torch.no_grad():
        expected = model.autoencoder.decode(latents * 4).clamp(-1, 1)
    torch.testing.assert_close(model.decode(latents), expected)
    model.autoencoder_batch_size = 2
    torch.testing.assert_close(model.decode(latents), expected)


# Latents ----------------------------------------------------------------------------------------


def test_scale_is_one_over_the_standard_deviation_of_the_first_images():
    model = latent_diffusion(scale_images=8)
    known = 3.0 * torch.randn(12, 2, 8, 8) + 1.5
    model.update_latent_scale(known[:4])
    assert model.latent_scale.item() == pytest.approx(1 / known[:4].std().item(), rel=1e-5)
    resumed = latent_diffusion(scale_images=8, seed=1)
    resumed.load_state_dict(model.state_dict())
    assert torch.equal(resumed.latent_scale, model.latent_scale)
    for other in (model, resumed):
        other.update_latent_scale(known[4:8])
        assert other.latent_scale.item() == pytest.approx(1 / known[:8].std().item(), rel=1e-5)
        other.update_latent_scale(known[8:])  # from here on it stands
        assert other.latent_scale.item() == pytest.approx(1 / known[:8].std().item(), rel=1e-5)


def test_training_scales_what_the_autoencoder_gives():
    model = latent_diffusion(scale_images=4)
    model.generator = Recorder()
    img = model.data_preprocessor(batch(), True)['inputs']['img']
    posterior = torch.randn(4, 128, generator=generator_for(0, 'posterior', 0, 0))
    latents = model.autoencoder.encode(img, posterior)
    model.generator_ema.avg_parameters.clear()  # there is no U-Net to average
    model.train_step(batch(), optimizers(model))
    scale = model.latent_scale.item()
    assert scale == pytest.approx(1 / latents.std().item(), rel=1e-5)
    draws = StepRandom(0, 0)
    a = ALPHAS[(draws.uniform('timestep', 4, 1)[:, 0] * 1000).long()].view(4, 1, 1, 1).float()
    eps = draws.normal('diffusion_noise', 4, 128).view(4, 2, 8, 8)
    expected = a.sqrt() * scale * latents + (1 - a).sqrt() * eps
    torch.testing.assert_close(model.generator.calls[0].latents, expected, rtol=1e-4, atol=1e-5)


def _on_rank(rank, folder, data, out):
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=2)
    out.put((rank, *_first_step({k: data[k][rank::2] for k in data})))
    dist.barrier()
    dist.destroy_process_group()


def _first_step(data):
    model = latent_diffusion(scale_images=6)
    model.generator.register_forward_hook(lambda _, inputs, __: seen.append(inputs[1].tolist()))
    seen = []
    own = dict(inputs=dict(img=data['img']), data_samples=data['data_samples'])
    log = model.train_step(own, optimizers(model))
    return model.latent_scale.item(), log['loss'].item(), seen[0]


def test_two_ranks_scale_and_draw_as_one(mmagic_scope):
    whole = batch(6)
    data = dict(img=whole['inputs']['img'], data_samples=whole['data_samples'])
    scale, loss, timesteps = _first_step(data)
    context = multiprocessing.get_context('fork')
    out = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        ranks = [
            context.Process(target=_on_rank, args=(rank, folder, data, out)) for rank in range(2)
        ]
        for process in ranks:
            process.start()
        found = sorted(out.get(timeout=120) for _ in ranks)
        for process in ranks:
            process.join()
    assert [rank for rank, *_ in found] == [0, 1]
    for rank, own_scale, _, own_timesteps in found:
        assert own_scale == pytest.approx(scale, rel=1e-6)
        assert own_timesteps == timesteps[rank::2]
    assert (found[0][2] + found[1][2]) / 2 == pytest.approx(loss, rel=1e-5)


# Training ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('autoencoder', [AUTOENCODER, VQ])
def test_the_autoencoder_stays_as_it_is(autoencoder):
    model = latent_diffusion(autoencoder=autoencoder).train()
    before, network = copy_of(model.autoencoder), copy_of(model.generator)
    optim = optimizers(model)
    for iteration in range(3):
        log = model.train_step(batch(iteration=iteration), optim)
        assert set(log) == {'loss', 'loss_diffusion'}
    assert not changed(before, model.autoencoder)
    assert changed(network, model.generator) == set(network)
    assert not any(p.requires_grad or p.grad is not None for p in model.autoencoder.parameters())
    assert not any(module.training for module in model.autoencoder.modules())
    assert model.generator.training


def test_average_of_the_unet_alone():
    model = latent_diffusion(
        ema_config=dict(type='ExponentialMovingAverage', momentum=0.25, start_iter=2)
    )
    names = {f'module.{name}' for name in model.generator.state_dict()} | {'steps'}
    assert set(model.generator_ema.state_dict()) == names
    optim = optimizers(model)
    expected = None
    for iteration in range(4):
        model.train_step(batch(iteration=iteration), optim)
        now = copy_of(model.generator)
        # MMEngine's first average is a copy as well.
        if iteration < 2:
            expected = now
        else:
            expected = {k: 0.75 * expected[k] + 0.25 * now[k] for k in now}
        for name, value in expected.items():
            torch.testing.assert_close(model.generator_ema.state_dict()[f'module.{name}'], value)


def test_gradients_over_several_batches_average_once():
    model = latent_diffusion()
    optim = optimizers(model)
    optim['generator']._accumulative_counts = 2
    optim['generator'].initialize_count_status(model.generator, 0, 4)
    steps = []
    for iteration in range(4):
        model.train_step(batch(iteration=iteration), optim)
        steps.append(model.generator_ema.steps.item())
    assert steps == [0, 1, 1, 2]


def test_steps_are_repeatable_and_go_on_from_a_checkpoint():
    def steps(model, optim, iterations):
        return [model.train_step(batch(iteration=i), optim)['loss'].item() for i in iterations]

    MessageHub._instance_dict.clear()
    straight = latent_diffusion()
    straight_optim = optimizers(straight)
    losses = steps(straight, straight_optim, range(2))
    saved = copy.deepcopy((straight.state_dict(), straight_optim.state_dict()))
    losses += steps(straight, straight_optim, range(2, 4))

    # No autoencoder of its own: that of the checkpoint.
    resumed = latent_diffusion(trained=False, seed=9)
    resumed.load_state_dict(saved[0])
    resumed_optim = optimizers(resumed)
    resumed_optim.load_state_dict(saved[1])
    resumed._own_iteration = 1
    torch.rand(5)
    assert steps(resumed, resumed_optim, range(2, 4)) == losses[2:]
    for name, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_without_a_trained_autoencoder_nothing_is_trained():
    model = latent_diffusion(trained=False, autoencoder_config='configs/x.py')
    before = copy_of(model)
    for call in (model.prepare_training, lambda: model.train_step(batch(), optimizers(model))):
        with pytest.raises(FileNotFoundError, match='python tools/train.py configs/x.py'):
            call()
    assert not changed(before, model)


def test_it_learns_which_class_is_which():
    """Latents that are a constant per class: guided samples must come out on their side."""
    schedule = dict(SCHEDULE, prediction_type='v_prediction')
    model = latent_diffusion(num_classes=2, scheduler=schedule)
    optim = torch.optim.Adam(model.generator.parameters(), 5e-3)
    for iteration in range(50):
        labels = torch.arange(16) % 2
        latents = (labels * 2.0 - 1).view(-1, 1, 1, 1).expand(-1, 2, 8, 8)
        model.step_random = StepRandom(0, iteration)
        loss = model.diffusion_loss(latents.clone(), labels)
        optim.zero_grad()
        loss.backward()
        optim.step()
    labels = torch.tensor([0, 1] * 4)
    with torch.no_grad():
        predict = guided(model.generator.eval(), labels, 2, 1.0)
        start = noise(8).view(8, 2, 8, 8)
        found = solve(predict, start, sampling_scheduler('dpm', schedule, 10)).mean((1, 2, 3))
    assert found[labels == 1].min() > 0.3 and found[labels == 0].max() < -0.3


# Mistakes, before any data is read --------------------------------------------------------------


@pytest.mark.parametrize(
    'options, message',
    [
        (
            dict(generator=dict(UNET, in_channels=3)),
            r'shape \(2, 8, 8\) .* for \(3, 8, 8\): set generator.in_channels=2',
        ),
        (
            dict(generator=dict(UNET, sample_size=4)),
            r'\(2, 8, 8\) .*16 pixels scaled down by 2.* \(2, 4, 4\): .* generator.sample_size=8',
        ),
        (dict(generator=dict(UNET, sample_size=9)), 'sample_size=9: .* halve it 1 times'),
        (dict(generator=dict(UNET, num_classes=4)), 'num_classes=3 but generator.num_classes=4'),
        (dict(generator=dict(UNET, norm_num_groups=3)), 'UNet2DModel of diffusers says'),
        (dict(generator=dict(UNET, depth=3)), 'UNet2DModel of diffusers says: .*depth'),
        (dict(autoencoder=dict(AUTOENCODER, sample_size=15)), 'autoencoder.sample_size=15'),
        (dict(autoencoder=dict(AUTOENCODER, sample_size=32)), r'\(2, 16, 16\)'),
        (dict(label_dropout=1.0), r'label_dropout=1.0: must be in \[0, 1\)'),
        (dict(sampling=dict(sampler='ddim', num_inference_steps=30)), 'must divide the 1000'),
        (
            dict(sampling=dict(steps=30)),
            "sampling.steps: there is no such option; did you mean 'num_inference_steps'",
        ),
        (dict(scheduler=dict(SCHEDULE, clip_sample=True)), r'scheduler\.clip_sample: there is no'),
    ],
)
def test_mistakes_in_the_config(options, message):
    with pytest.raises(ValueError, match=message):
        latent_diffusion(**options)


class Patches:
    def __init__(self, shape=(3, 16, 16), classes=('A', 'B', 'C')):
        self.shape, self.metainfo = shape, dict(classes=classes)

    def __getitem__(self, index):
        return dict(inputs=dict(img=torch.zeros(self.shape, dtype=torch.uint8)))


def test_data_that_do_not_fit():
    model = latent_diffusion()
    model.check_dataset(Patches())
    with pytest.raises(ValueError, match=r'num_classes=3 .* has 2 classes \(A, B\)'):
        model.check_dataset(Patches(classes=('A', 'B')))
    for shape in ((3, 32, 32), (1, 16, 16)):
        with pytest.raises(ValueError, match=r'but model.autoencoder is for \(3, 16, 16\)'):
            model.check_dataset(Patches(shape=shape))


# Configs ----------------------------------------------------------------------------------------

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'latent_diffusion'
# Side, factor, and million parameters of the autoencoder and of the U-Net or discriminator; the
# autoencoder's are those of Stable Diffusion's.
LARGE, SMALL = (256, 8, 83.65), (64, 4, 0.68)
SIZES = {'autoencoder_kl_tct': (*LARGE, 2.77), 'ldm_tct': (*LARGE, 64.48)}
SIZES['ldm_tct_pretrained'] = SIZES['ldm_tct']


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
def test_the_networks_of_every_config_fit(path):
    config = Config.fromfile(path)
    with torch.device('meta'):
        model = MODELS.build(config.model)
    is_stage_2 = hasattr(model, 'generator')
    size, factor, *counts = SIZES.get(path.stem, (*SMALL, 1.17 if is_stage_2 else 0.04))
    assert (model.autoencoder.image_size, model.autoencoder.factor) == (size, factor)
    transforms = config.train_dataloader.dataset.pipeline
    assert next(t.out_size for t in transforms if t.type == 'FitCellPatch') == size
    assert set(config.optim_wrapper) - {'constructor'} <= set(dict(model.named_children()))
    stage_1 = CONFIGS / Path(config.model.get('autoencoder_config', path)).name
    assert Config.fromfile(stage_1).model.autoencoder == config.model.autoencoder
    networks = (model.autoencoder, model.generator if is_stage_2 else model.discriminator)
    found = [sum(p.numel() for p in network.parameters()) / 1e6 for network in networks]
    assert found == pytest.approx(counts, abs=0.006)
