import pickle
import runpy
import sys
from pathlib import Path

import numpy as np
import plain_cellgan as plain
import pytest
import torch
from mmagic.registry import MODELS
from mmengine.runner import load_checkpoint

from cellgan_plugin.compat import UntrustedCheckpointError
from cellgan_plugin.models import (
    CellGANDiscriminator,
    CellGANGenerator,
    HingeGANLoss,
    R1Penalty,
    ReconstructionLoss,
)
from cellgan_plugin.models.cellgan.official_checkpoint import (
    build_part,
    convert_checkpoint,
    from_official,
    guess_part,
    model_arguments,
    to_official,
)
from cellgan_plugin.models.cellgan.official_parity import (
    ParityRow,
    compare_with_official,
    format_comparisons,
)
from cellgan_plugin.randomness import generator_for

REPO = Path(__file__).resolve().parents[2]
FIXTURE = Path(__file__).parent / 'fixtures' / 'official_numbers.npz'
SHAPES = {'generator': plain.generator_shapes, 'discriminator': plain.discriminator_shapes}
SIZES = {32: (8,), 64: (8, 4), 256: (8, 8, 4, 4)}


def states(size=64, **kwargs):
    """Random weights of both parts under the authors' names."""
    return {
        'generator': plain.random_state(plain.generator_shapes(size, **kwargs), seed=1),
        'discriminator': plain.random_state(
            plain.discriminator_shapes(size, stages=SIZES[size]), seed=2
        ),
    }


def ours(state, part, dtype=torch.float32):
    return build_part(from_official(state, part), part).eval().to(dtype)


def cast(state, dtype):
    return {key: value.to(dtype) for key, value in state.items()}


def inputs(size, dtype=torch.float32):
    z = torch.randn(2, 8, generator=generator_for(0, 'z'))
    img = torch.rand(2, 3, size, size, generator=generator_for(0, 'img')) * 2 - 1
    return z.to(dtype), img.to(dtype), torch.tensor([1, 4])


def close(got, expected):
    """Equal to 1e-5 of the whole tensor's norm."""
    assert got.shape == expected.shape
    assert (got - expected).norm() <= 1e-5 * expected.norm()


# --- the plain program ---------------------------------------------------------------------------


@pytest.mark.parametrize('size', [32, 64, 256])
@torch.no_grad()
def test_images_are_those_of_the_plain_program(size):
    z, _, label = inputs(size)
    state = states(size)['generator']
    if size == 32:  # no skip there in the authors' layout; ours is told so
        net = CellGANGenerator(32, noise_size=8, base_channels=4, skip_type=None).eval()
        net.load_state_dict(from_official(state, 'generator'))
    else:
        net = ours(state, 'generator')
    image = net(z, label=label)
    torch.testing.assert_close(image, plain.generator(state, z, label), rtol=1e-5, atol=1e-5)
    assert image.std() > 0.05


@pytest.mark.parametrize('size', [32, 64, 256])
@pytest.mark.parametrize('position', [(0, 0), (8, 8), (2, 7)])
@torch.no_grad()
def test_logits_and_reconstructions_are_those_of_the_plain_program(size, position):
    _, img, label = inputs(size)
    state = states(size)['discriminator']
    net = ours(state, 'discriminator')
    pixels = [size // 16 * p for p in position]
    out = net(img, label, crop_offset=position)
    expected = plain.discriminator(state, img, label, pixels)
    for got, wanted in zip(out, expected, strict=True):
        close(got, wanted)
        assert got.std() > 0
    rows, columns = net.crop_box(position)
    loss = ReconstructionLoss()(out.crop, out.half, img[:, :, rows, columns], img)
    wanted = plain.reconstruction_loss(img, *expected[1:], pixels)
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_what_the_shortcut_reads_matters():
    # Were the activations not in place, the same weights would give other logits.
    _, img, label = inputs(64)
    state = states(64)['discriminator']
    net = ours(state, 'discriminator')
    for block in net.down_blocks.values():
        block.shortcut.register_forward_pre_hook(
            lambda m, args: torch.where(args[0] > 0, args[0], 5 * args[0])
        )
    assert (net(img, label) - plain.discriminator(state, img, label)).abs().max() > 0.01


def test_gradients_are_those_of_the_plain_program():
    z, img, label = inputs(64, torch.float64)
    state = {part: cast(weights, torch.float64) for part, weights in states(64).items()}
    generator = ours(state['generator'], 'generator', torch.float64)
    discriminator = ours(state['discriminator'], 'discriminator', torch.float64)
    for weights in state.values():
        for key, value in weights.items():
            value.requires_grad_(key.endswith(('weight_orig', 'bias')))

    with torch.no_grad():
        fake = generator(z, label=label)
    out = discriminator(img, label, crop_offset=(3, 5))
    rows, columns = discriminator.crop_box((3, 5))
    r1 = R1Penalty(1.0)(lambda x: discriminator(x, label), img)
    losses = HingeGANLoss().discriminator(out.logits, discriminator(fake, label))
    recon = ReconstructionLoss()(out.crop, out.half, img[:, :, rows, columns], img)
    (sum(losses.values()) + recon + 0.01 * r1).backward()

    weights = state['discriminator']
    logits, crop, half = plain.discriminator(weights, img, label, (12, 20))
    theirs = plain.r1(weights, img, label)
    assert r1.item() == pytest.approx(theirs.item(), rel=1e-9) and r1 > 0
    loss = (1 - logits).relu().mean() + (
        1 + plain.discriminator(weights, fake, label)
    ).relu().mean()
    loss = loss + plain.reconstruction_loss(img, crop, half, (12, 20)) + 0.01 * theirs
    loss.backward()
    same_gradients(discriminator, weights, 'discriminator')

    discriminator.requires_grad_(False)
    HingeGANLoss().generator(discriminator(generator(z, label=label), label)).backward()
    weights = cast({k: v.detach() for k, v in weights.items()}, torch.float64)
    image = plain.generator(state['generator'], z, label)
    (-plain.discriminator(weights, image, label).mean()).backward()
    same_gradients(generator, state['generator'], 'generator')


def same_gradients(net, state, part):
    found = to_official({name: p.grad for name, p in net.named_parameters()}, part)
    assert set(found) == {k for k in state if k.endswith(('weight_orig', 'bias'))}
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, state[name].grad, rtol=1e-6, atol=1e-10, msg=name)


# --- numbers of the authors' program -------------------------------------------------------------


@pytest.fixture(scope='module')
def fixture():
    with np.load(FIXTURE, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def loaded(net, fixture, part):
    state = {k.split('/', 1)[1]: v for k, v in fixture.items() if k.startswith(part + '/')}
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert not unexpected
    return net.eval(), missing


def give(module, value):
    module.register_forward_hook(lambda *_: value)


@torch.no_grad()
def test_image_of_the_authors_program(fixture):
    net, missing = loaded(CellGANGenerator(base_channels=4), fixture, 'generator')
    # What enters from the parts that are not in the fixture is: c and the maps of 8 and 16 pixels.
    assert {key.split('.parametrizations')[0].split('.bias')[0] for key in missing} == {
        'init',
        *(f'mapping.layers.{i}' for i in range(4)),
        *(f'up_blocks.{size}.{m}' for size in (8, 16) for m in ('adain.affine', 'conv')),
    }
    give(net.mapping, fixture['input/embedding'])
    give(net.up_blocks['8'], fixture['input/map_8'])
    give(net.up_blocks['16'], fixture['input/map_16'])
    fake = net(torch.zeros(1, 128), label=fixture['input/label'][:1])
    crop, grid = fixture['expected/fake_crop'], fixture['expected/fake_grid']
    close(fake[:, :, : crop.shape[-2], : crop.shape[-1]], crop)
    close(fake[:, :, :: 256 // grid.shape[-2], :: 256 // grid.shape[-1]], grid)
    close(fake.double().mean((2, 3)), fixture['expected/fake_mean'])
    close(fake.double().std((2, 3)), fixture['expected/fake_spread'])


@torch.no_grad()
def test_logits_and_losses_of_the_authors_program(fixture):
    logits = {}
    for kind in ('real', 'fake'):
        net = CellGANDiscriminator(base_channels=4, decoder_channels=None)
        net, missing = loaded(net, fixture, 'discriminator')
        assert {key.split('.')[0] for key in missing} == {'stem', 'down_blocks'}
        give(net.down_blocks['8'], fixture[f'input/last_{kind}'])
        logits[kind] = net(torch.zeros(2, 3, 256, 256), fixture['input/label'])
        close(logits[kind], fixture[f'expected/logits_{kind}'])
    losses = HingeGANLoss().discriminator(logits['real'], logits['fake'])
    losses['loss_gen'] = HingeGANLoss().generator(logits['fake'])
    for name, value in losses.items():
        # loss_gen is a mean of logits that almost cancel: 1e-5 of their size
        wanted = fixture[f'expected/{name}'].item()
        assert value.item() == pytest.approx(wanted, rel=1e-5, abs=1e-8), name


def test_fixture_stays_small():
    assert FIXTURE.stat().st_size < 300_000


# --- names and files -----------------------------------------------------------------------------


@pytest.mark.parametrize('part', SHAPES)
@pytest.mark.parametrize('size', [64, 256])
def test_names_there_and_back(part, size):
    state = states(size)[part]
    renamed = from_official(state, part)
    back = to_official(renamed, part)
    assert set(back) == set(state) and all(torch.equal(back[k], state[k]) for k in state)
    kind = CellGANGenerator if part == 'generator' else CellGANDiscriminator
    kind(**model_arguments(renamed, part)).load_state_dict(renamed)
    assert guess_part(state) == guess_part(renamed) == part
    other = 'discriminator' if part == 'generator' else 'generator'
    with pytest.raises(ValueError, match='unknown weights'):
        from_official(state, other)
    with pytest.raises(ValueError, match='unknown weights'):
        to_official(renamed, other)


def test_shapes_say_the_arguments():
    state = plain.random_state(
        plain.generator_shapes(128, base=8, classes=3, noise=6, embed=7, colors=1)
    )
    assert model_arguments(from_official(state, 'generator'), 'generator') == dict(
        out_size=128,
        num_classes=3,
        noise_size=6,
        embed_size=7,
        mapping_depth=4,
        base_channels=8,
        out_channels=1,
        skip_type='sgc',
        sgc_fusion='add',
    )
    state = plain.random_state(plain.discriminator_shapes(64, 8, 3, 1, (5, 6)))
    assert model_arguments(from_official(state, 'discriminator'), 'discriminator') == dict(
        in_size=64, num_classes=3, base_channels=8, in_channels=1, decoder_channels=(5, 6)
    )


def cellgan(**generator):
    return MODELS.build(
        dict(
            type='CellGAN',
            num_classes=5,
            noise_size=8,
            generator=dict(type='CellGANGenerator', out_size=64, base_channels=4, **generator),
            discriminator=dict(
                type='CellGANDiscriminator', in_size=64, base_channels=4, decoder_channels=(8, 4)
            ),
            ema_config=dict(type='ExponentialMovingAverage'),
        )
    )


@pytest.mark.parametrize('part', SHAPES)
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_converted_checkpoint_loads_and_comes_back(tmp_path, mmagic_scope, part, prefix):
    state = states()[part]
    src, out, again = (tmp_path / name for name in ('theirs.pth', 'ours.pth', 'back.pth'))
    torch.save({'model': {prefix + k: v for k, v in state.items()}, 'epoch': 3}, src)
    done = convert_checkpoint(src, out)
    assert done['part'] == part and done['model']['num_classes'] == 5
    model = cellgan()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    load_checkpoint(model, str(out), strict=False)
    z, img, label = inputs(64)
    changed = {k.split('.')[0] for k, v in model.state_dict().items() if not before[k].equal(v)}
    with torch.no_grad():
        model.eval()
        if part == 'generator':
            assert changed == {'generator', 'generator_ema'}
            expected = plain.generator(state, z, label)
            for net in (model.generator, model.generator_ema):
                torch.testing.assert_close(net(z, label=label), expected, rtol=1e-5, atol=1e-5)
            assert int(model.generator_ema.steps) == 1
        else:
            assert changed == {'discriminator'}
            expected = plain.discriminator(state, img, label)
            torch.testing.assert_close(model.discriminator(img, label), expected)
    convert_checkpoint(out, again, reverse=True)
    back = torch.load(again, weights_only=True)['model']
    assert set(back) == set(state) and all(torch.equal(back[k], state[k]) for k in state)


def test_pretrained_init_cfg(tmp_path, mmagic_scope):
    state = states()['generator']
    torch.save({'model': state}, tmp_path / 'theirs.pth')
    convert_checkpoint(tmp_path / 'theirs.pth', tmp_path / 'ours.pth')
    model = cellgan()
    model.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'ours.pth'))
    model.init_weights()
    z, _, label = inputs(64)
    with torch.no_grad():
        image = model.eval().generator(z, label=label)
    torch.testing.assert_close(image, plain.generator(state, z, label), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('weights', ['ema', 'orig'])
def test_training_checkpoint_to_the_authors(tmp_path, mmagic_scope, weights):
    model = cellgan().eval()
    with torch.no_grad():
        for p in model.generator_ema.parameters():
            p.mul_(1 + 0.1 * torch.randn_like(p))
    src, out = tmp_path / 'iter_5.pth', tmp_path / 'theirs.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(iter=5)), src)
    with pytest.raises(ValueError, match='both parts: say --part'):
        convert_checkpoint(src, out, reverse=True)
    done = convert_checkpoint(src, out, 'generator', reverse=True, weights=weights)
    assert done['source'] == {'ema': 'generator_ema.module', 'orig': 'generator'}[weights]
    state = torch.load(out, weights_only=True)['model']
    net = model.generator_ema if weights == 'ema' else model.generator
    z, img, label = inputs(64)
    with torch.no_grad():
        expected = net(z, label=label)
        torch.testing.assert_close(plain.generator(state, z, label), expected, rtol=1e-5, atol=1e-5)
        convert_checkpoint(src, out, 'discriminator', reverse=True)
        state = torch.load(out, weights_only=True)['model']
        expected = model.discriminator(img, label)
        torch.testing.assert_close(plain.discriminator(state, img, label), expected)


@pytest.mark.parametrize(
    'generator, meta, part, message',
    [
        (dict(sgc_fusion='modulate', out_size=128), {}, 'generator', 'sgc_fusion'),
        (dict(skip_type='sle'), {}, 'generator', 'skip_type'),
        (dict(mapping_depth=0), dict(cfg='mapping_depth=0,'), 'generator', 'mapping_depth'),
        ({}, dict(cfg="head='global',"), 'discriminator', 'head'),
    ],
)
def test_what_the_authors_program_does_not_have(tmp_path, generator, meta, part, message):
    size = generator.get('out_size', 64)
    nets = dict(
        generator=CellGANGenerator(**{**dict(out_size=64, base_channels=4), **generator}),
        discriminator=CellGANDiscriminator(size, base_channels=4, decoder_channels=(8, 4)),
    )
    state = {f'{part}.{k}': v for k, v in nets[part].state_dict().items()}
    torch.save(dict(state_dict=state, meta=meta), tmp_path / 'ours.pth')
    with pytest.raises(ValueError, match=f'no {message}'):
        convert_checkpoint(tmp_path / 'ours.pth', tmp_path / 'out.pth', reverse=True)
    assert not (tmp_path / 'out.pth').exists()


class Foreign:
    pass


def bad_files():
    state = states()['generator']
    cut = {k: v for k, v in state.items() if 'up_16.main.3' not in k}
    odd = {**state, 'to_out.0.weight_orig': torch.zeros(3, 9, 3, 3)}
    return {
        'ours without --reverse': (dict(state_dict={}), {}, ValueError, 'add --reverse'),
        'theirs with --reverse': (dict(model=state), dict(reverse=True), ValueError, 'leave'),
        'no weights': ([1], {}, ValueError, 'holds a list'),
        'other part': (dict(model=state), dict(part='discriminator'), ValueError, 'other part'),
        'unknown part': (dict(model=state), dict(part='encoder'), ValueError, '^part'),
        'unknown weights': (dict(model=state), dict(weights='all'), ValueError, '^weights'),
        'other network': (dict(model={'conv1.weight': torch.zeros(1)}), {}, ValueError, 'neither'),
        'missing weight': (dict(model=cut), {}, ValueError, 'do not fit.*up_blocks.16'),
        'wrong shape': (dict(model=odd), {}, ValueError, 'do not fit.*to_image'),
        'empty part': (
            dict(state_dict={'discriminator.x': torch.zeros(1)}),
            dict(reverse=True, part='generator'),
            ValueError,
            'holds no generator',
        ),
        'foreign code': (dict(model=Foreign()), {}, UntrustedCheckpointError, 'was not loaded'),
    }


@pytest.mark.parametrize('case', bad_files())
def test_bad_file(tmp_path, case):
    content, arguments, error, message = bad_files()[case]
    src, out = tmp_path / 'src.pth', tmp_path / 'out.pth'
    torch.save(content, src, pickle_module=pickle)
    with pytest.raises(error, match=message):
        convert_checkpoint(src, out, **arguments)
    assert not out.exists()


# --- the comparison with a reference file --------------------------------------------------------


def reference_file():
    """A file laid out as the authors' numbers are, but computed by the plain program."""
    z, real, label = inputs(64)
    state = states(64)
    weights = state['discriminator']
    pixels = (12, 20)
    parts = {part: {k: v.clone() for k, v in s.items()} for part, s in state.items()}
    for s in state.values():
        for key, value in s.items():
            value.requires_grad_(key.endswith(('weight_orig', 'bias')))
    image = plain.generator(state['generator'], z, label)
    fake = image.detach()
    logits, crop, half = plain.discriminator(weights, real, label, pixels)
    logits_fake = plain.discriminator(weights, fake, label)
    values = dict(
        loss_recon=plain.reconstruction_loss(real, crop, half, pixels),
        loss_disc_real=(1 - logits).relu().mean(),
        loss_disc_fake=(1 + logits_fake).relu().mean(),
    )
    r1 = plain.r1(weights, real, label)
    (sum(values.values()) + 0.01 * r1).backward()
    norms = dict(
        disc_grad_norms={k: v.grad.norm().item() for k, v in weights.items() if v.requires_grad}
    )
    loss_gen = -plain.discriminator(parts['discriminator'], image, label).mean()
    loss_gen.backward()
    norms['gen_grad_norms'] = {
        k: v.grad.norm().item() for k, v in state['generator'].items() if v.requires_grad
    }
    return dict(
        **{part: {'model': s} for part, s in parts.items()},
        z=z,
        real=real,
        label=label,
        crop_offset=pixels,
        fake=fake,
        logits_real=logits.detach(),
        logits_fake=logits_fake.detach(),
        **{k: v.item() for k, v in values.items()},
        loss_gen=loss_gen.item(),
        r1_sum_of_squares=r1.item(),
        weights=dict(r1=0.01, recon=1.0),
        **norms,
    )


@pytest.fixture(scope='module')
def reference():
    return reference_file()


def test_comparison_of_a_reference_file(reference):
    rows = compare_with_official(reference)
    assert not [row.name for row in rows if row.verdict == 'differs']
    assert len(rows) == 8 + len(reference['disc_grad_norms']) + len(reference['gen_grad_norms'])
    assert f'{len(rows)} quantities' in format_comparisons(rows)


@pytest.mark.parametrize(
    'key', ['fake', 'logits_real', 'loss_recon', 'r1_sum_of_squares', 'disc_grad_norms']
)
def test_comparison_sees_a_difference(reference, key):
    wrong = dict(reference)
    if isinstance(wrong[key], dict):
        wrong[key] = {name: value * 1.5 for name, value in wrong[key].items()}
    else:
        wrong[key] = wrong[key] * 1.0002
    differing = [row.name for row in compare_with_official(wrong) if row.verdict == 'differs']
    assert any(key in name or name.startswith('disc_grad ') for name in differing)


@pytest.mark.parametrize(
    'difference, noise, norms, verdict',
    [
        (9e-5, None, (1, 1), 'agrees'),
        (2e-4, None, (1, 1), 'differs'),
        (2e-4, 9e-5, (1, 1), 'differs'),
        (2e-4, 2e-4, (1, 1), 'ill-conditioned'),
        (5e-4, 2e-4, (1, 1), 'differs'),
        (3.0, 1e6, (1e-9, 4e-9), 'cancelled'),
        (3.0, 1e6, (1e-3, 4e-3), 'differs'),
    ],
)
def test_verdicts(difference, noise, norms, verdict):
    row = ParityRow('x', *norms, difference, noise, 1e-4, scale=1.0)
    assert row.verdict == verdict


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a tool in this process; its exit status and output."""

    def run_tool(tool, *arguments):
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        status = 0
        try:
            runpy.run_path(str(REPO / 'tools' / 'model_converters' / tool), run_name='__main__')
        except SystemExit as end:
            status = int(end.code or 0)
        return status, '\n'.join(capsys.readouterr())

    return run_tool


def test_tools(tmp_path, reference, run):
    theirs, own, back = (tmp_path / name for name in ('theirs.pth', 'ours.pth', 'back.pth'))
    torch.save({'model': reference['generator']['model']}, theirs)
    status, text = run('official_cellgan.py', theirs, own)
    assert status == 0 and 'generator=dict(out_size=64, num_classes=5' in text
    assert set(torch.load(own, weights_only=True)) == {'meta', 'state_dict'}
    status, text = run('official_cellgan.py', own, back, '--reverse', '--part', 'generator')
    assert status == 0 and 'generator_ema.module' in text
    status, text = run('official_cellgan.py', own, back, '--part', 'generator')
    assert status == 2 and 'add --reverse' in text

    torch.save(reference, tmp_path / 'reference.pt')
    status, text = run('verify_official.py', tmp_path / 'reference.pt')
    assert status == 0 and '0 differs' in text
    reference = dict(reference, loss_recon=reference['loss_recon'] * 1.001)
    torch.save(reference, tmp_path / 'reference.pt')
    status, text = run('verify_official.py', tmp_path / 'reference.pt')
    assert status == 1 and 'DIFFER' in text and '1 differs' in text
    status, text = run('verify_official.py', tmp_path / 'missing.pt')
    assert status == 2 and 'does not exist' in text
