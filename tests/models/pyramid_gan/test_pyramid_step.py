"""What a training step computes, and what it never looks at."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from tiny_pyramid import (
    DISCRIMINATOR,
    GENERATOR,
    OPTIMIZERS,
    SCALES,
    optimizers,
    tiny_model,
    tissue_batch,
)

from cellgan_plugin.engine.amp import enable_amp
from cellgan_plugin.models.losses.pyramid_losses import mask_cross_entropy, one_hot_masks
from cellgan_plugin.models.pyramid_gan.mean_colours import MeanColours
from cellgan_plugin.models.pyramid_gan.scales import resize_images, resize_masks
from cellgan_plugin.randomness import StepRandom

pytestmark = pytest.mark.usefixtures('mmagic_scope')


def step(model, batch):
    torch.manual_seed(11)  # dropout
    model.train()
    return model.train_step(copy.deepcopy(batch), optimizers(model))


def parameters(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


class Recorder(torch.nn.Module):
    """Stands before a discriminator and keeps the pairs that it is shown."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.pairs = inner, []

    def forward(self, img, mask):
        self.pairs.append((img.detach().clone(), mask.detach().clone()))
        return self.inner(img, mask)


def recorded(model, batch):
    recorder = Recorder(model.discriminators[model.scale])
    model.discriminators[model.scale] = recorder
    step(model, batch)
    return recorder.pairs


@pytest.mark.parametrize('parts', ['1', '2', '3'])
def test_the_terms_of_the_algorithms(parts):
    kwargs = {'1': dict(segmenter=None), '2': dict(), '3': dict(semi_supervised=True)}[parts]
    log = step(tiny_model(**kwargs), tissue_batch(unlabelled=2 if parts == '3' else 0))
    expected = {'size', 'loss', 'loss_disc_real', 'disc_real'}
    expected |= {'loss_disc_generated', 'disc_generated', 'loss_gen', 'loss_reconstruction'}
    expected |= {'loss_feature_matching'}
    if parts != '1':
        expected |= {'loss_disc_segmented', 'disc_segmented', 'loss_segmenter'}
        expected |= {'loss_cross_entropy'}
    assert set(log) == expected
    turns = [log[k] for k in log if k.startswith('loss_') and 'disc' not in k]
    assert log['loss'].item() == pytest.approx(sum(turns).item(), rel=1e-5)
    assert all(torch.isfinite(value) for value in log.values())


def test_what_the_discriminator_is_shown():
    batch = tissue_batch(4, unlabelled=2)
    pairs = recorded(tiny_model(semi_supervised=True, pseudo_start=1), batch)
    img = resize_images(batch['inputs']['img'].float() / 127.5 - 1, 8, 8)
    masks = one_hot_masks(resize_masks(batch['inputs']['mask'], 8, 8), 2)
    real, generated, segmented, for_generator, real_again, for_segmenter = pairs
    assert torch.allclose(real[0], img[:2]) and torch.equal(real[1], masks[:2])
    assert torch.equal(generated[1], masks[:2]) and generated[0].shape == (2, 3, 8, 8)
    assert torch.allclose(segmented[0], img)
    assert torch.allclose(segmented[1].sum(dim=1), torch.ones(4, 8, 8))
    # G and S answer with the same pairs, D has moved on in between.
    assert torch.equal(for_generator[0], generated[0])
    assert torch.equal(for_segmenter[1], segmented[1])
    assert torch.equal(real_again[0], real[0])


def test_training_noise_is_scaled_down_at_the_finer_scales():
    model = tiny_model(segmenter=None, noise_std=(2.0, 0.25))
    model.begin_scale(2)
    seen, inner = [], model.generate_scale

    def spy(index, mask, noise, coarser):
        seen.append((index, noise))
        return inner(index, mask, noise, coarser)

    model.generate_scale = spy
    step(model, tissue_batch(2))
    numbers = StepRandom(0, 0)
    assert [index for index, _ in seen] == [0, 1, 2]
    for (index, noise), std, size in zip(seen, (2.0, 0.25, 0.25), (8, 16, 32), strict=True):
        drawn = numbers.normal(f'generator_noise_{index}', 2, 3 * size**2)
        torch.testing.assert_close(noise, std * drawn.view(2, 3, size, size))


def test_pseudo_positives_are_unlabelled_images_with_hard_masks():
    batch = tissue_batch(6, unlabelled=4)
    img = resize_images(batch['inputs']['img'].float() / 127.5 - 1, 8, 8)
    for seed in range(4):
        model = tiny_model(semi_supervised=True, pseudo_probability=0.5, pseudo_start=0, seed=seed)
        real, _, segmented = recorded(model, batch)[:3]
        pseudo, pseudo_masks = real[0][2:], real[1][2:]
        assert torch.allclose(real[0][:2], img[:2]), 'the labelled ones come first'
        sources = [next(i for i in range(6) if torch.allclose(x, img[i])) for x in pseudo]
        assert set(sources) <= {2, 3, 4, 5}, 'only unlabelled images'
        assert torch.equal(pseudo_masks, pseudo_masks.round())
        assert (pseudo_masks.sum(dim=1) == 1).all()
        # Nothing is real and generated at once.
        assert len(segmented[0]) == 6 - len(pseudo)
        assert not any(torch.allclose(a, b) for a in pseudo for b in segmented[0])


@pytest.mark.parametrize('probability, expected', [(0.0, 0), (1.0, 4)])
def test_the_share_of_pseudo_positives_is_the_config(probability, expected):
    model = tiny_model(semi_supervised=True, pseudo_probability=probability, pseudo_start=0)
    real = recorded(model, tissue_batch(6, unlabelled=4))[0]
    assert len(real[0]) == 2 + expected


def test_pseudo_positives_wait_for_their_epoch():
    model = tiny_model(semi_supervised=True, pseudo_probability=1.0, pseudo_start=3)
    model.scale_epoch = 2.9
    assert len(recorded(model, tissue_batch(4, unlabelled=2))[0][0]) == 2


@pytest.mark.parametrize('index', [0, 2])
def test_the_mask_of_an_unlabelled_image_is_never_read(index):
    options = dict(semi_supervised=True, pseudo_probability=0.5, pseudo_start=0, synthetic_start=0)
    ends = []
    for fill in (255, 1, 77):
        batch = tissue_batch(4, unlabelled=2)
        batch['inputs']['mask'][2:] = fill
        model = tiny_model(**options)
        model.begin_scale(index)
        step(model, batch)
        ends.append(parameters(model))
    for other in ends[1:]:
        assert all(torch.equal(ends[0][name], other[name]) for name in other)


def test_without_semi_supervision_unlabelled_images_change_nothing():
    with_them = tissue_batch(4, unlabelled=2)
    without = {k: v[:2] for k, v in with_them['inputs'].items()}
    ends = []
    for batch in (with_them, dict(inputs=without, data_samples=None)):
        model = tiny_model(segmenter_noise=0.1)
        step(model, batch)
        ends.append(parameters(model))
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_synthetic_images_join_after_their_epoch_and_with_their_weight():
    model = tiny_model(synthetic_start=2, synthetic_weight=0.03)
    model.scale_epoch = 1.9
    assert 'loss_synthetic' not in step(model, tissue_batch())
    model.scale_epoch = 2.0
    found = {}
    inner = model._segmenter_terms
    model._segmenter_terms = lambda batch, segmented: (
        found.update(batch=batch, segmented=segmented) or inner(batch, segmented)
    )
    log = step(model, tissue_batch())
    expected = mask_cross_entropy(found['segmented'].synthetic, found['batch'].masks, 255)
    assert log['loss_synthetic'].item() == pytest.approx(0.03 * expected.item(), rel=1e-5)
    off = tiny_model(synthetic_start=0, synthetic_weight=0)
    assert 'loss_synthetic' not in step(off, tissue_batch())


def test_the_gradient_of_synthetic_images_does_not_reach_the_generator():
    ends = []
    for weight in (1e-9, 5.0):
        model = tiny_model(synthetic_start=0, synthetic_weight=weight)
        step(model, tissue_batch())
        ends.append(parameters(model))
    same = [k for k in ends[0] if k.startswith('generators')]
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in same)


def test_share_of_the_segmenter_among_the_negatives():
    logs = [step(tiny_model(segmenter_share=share), tissue_batch()) for share in (0.0, 0.25, 1.0)]
    assert 'loss_disc_segmented' not in logs[0] and logs[2]['loss_disc_generated'] == 0
    whole_g, whole_s = logs[0]['loss_disc_generated'], logs[2]['loss_disc_segmented']
    assert logs[1]['loss_disc_generated'].item() == pytest.approx(0.75 * whole_g.item(), rel=1e-5)
    assert logs[1]['loss_disc_segmented'].item() == pytest.approx(0.25 * whole_s.item(), rel=1e-5)


def test_a_segmenter_alone_is_the_supervised_baseline():
    model = tiny_model(generator=None, discriminator=None, scales=SCALES[-1:])
    log = step(model, tissue_batch(2))
    assert set(log) == {'size', 'loss', 'loss_cross_entropy'}


@pytest.mark.parametrize('checkpoint', [False, True])
def test_activation_checkpointing_by_scale_changes_no_number(checkpoint):
    scales = [SCALES[0], dict(SCALES[1], checkpoint=checkpoint)]
    model = tiny_model(scales=scales, synthetic_start=0)
    model.begin_scale(1)
    assert model.generators[1].checkpoint == model.segmenters[1].checkpoint == checkpoint
    assert not model.generators[0].checkpoint
    log = step(model, tissue_batch(2, 16))
    reference = tiny_model(scales=SCALES[:2], synthetic_start=0)
    reference.begin_scale(1)
    expected = step(reference, tissue_batch(2, 16))
    assert all(torch.equal(log[name], expected[name]) for name in expected)
    a, b = parameters(model), parameters(reference)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_batches_that_cannot_be_trained_on_are_named():
    with pytest.raises(ValueError, match='no image of the batch is labelled'):
        step(tiny_model(semi_supervised=True), tissue_batch(2, unlabelled=2))
    with pytest.raises(ValueError, match='no image of the batch is unlabelled'):
        step(tiny_model(semi_supervised=True), tissue_batch(2))
    dataset = SimpleNamespace(
        metainfo=dict(classes=('stroma', 'gland')),
        labelled=[True, True],
        __getitem__=None,
    )
    samples = tissue_batch(1)['inputs']

    class Dataset(list):
        metainfo, labelled = dataset.metainfo, dataset.labelled

    tiles = Dataset([dict(inputs={k: v[0] for k, v in samples.items()})])
    with pytest.raises(ValueError, match='every image of the training set is labelled'):
        tiny_model(semi_supervised=True).check_dataset(tiles)
    with pytest.raises(ValueError, match='num_classes=3 but the training set has 2'):
        tiny_model(3).check_dataset(tiles)


def test_mixed_precision_trains_every_network():
    model = tiny_model(semi_supervised=True, pseudo_start=0, synthetic_start=0)
    config = copy.deepcopy(OPTIMIZERS)
    assert 'generator, discriminator, segmenter' in enable_amp(config)
    model.begin_scale(1)
    wrappers = build_optim_wrapper(model, config)
    before = parameters(model)
    seen = set()
    for name, network in model.trained_networks().items():
        convolution = next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
        convolution.register_forward_hook(
            lambda module, inputs, out, name=name: seen.add((name, out.dtype))
        )
    model.train()
    log = model.train_step(tissue_batch(4, unlabelled=2), wrappers)
    assert all(torch.isfinite(value) for value in log.values())
    assert seen == {(name, torch.bfloat16) for name in model.trained_networks()}
    after = model.state_dict()
    for kind in ('generators', 'discriminators', 'segmenters'):
        names = [n for n in after if n.startswith(f'{kind}.1.') and n.endswith('weight')]
        assert all(after[n].dtype == torch.float32 for n in names)
        assert any(not torch.equal(after[n], before[n]) for n in names), kind


def test_pixels_without_a_class_do_not_tell_segmented_masks_from_true_ones():
    batch = tissue_batch()
    batch['inputs']['mask'][0, :, :16] = 255
    pairs = recorded(tiny_model(), batch)
    true, segmented = pairs[0][1], pairs[2][1]
    nowhere = true.sum(dim=1) == 0
    assert nowhere[0].any() and not nowhere[1:].any()
    assert torch.equal(segmented.sum(dim=1) == 0, nowhere)


PLAIN = dict(
    generator=dict(GENERATOR, norm='none'),
    discriminator=dict(DISCRIMINATOR, norm='none'),
    segmenter_share=0.0,
    segmenter_adversarial_weight=0.0,
)


def test_the_relativistic_loss_compares_pairs_of_one_mask_and_penalties_are_of_each_image():
    """softplus(D(fake) - D(real)) per patch, and squared slopes of the mean logits."""
    penalty = dict(type='R1Penalty', loss_weight=0.3, interval=2)
    model = tiny_model(
        **PLAIN,
        adversarial_loss=dict(type='PatchAdversarialLoss', mode='relativistic'),
        r1_loss=penalty,
        r2_loss=penalty,
    )
    batch = tissue_batch(seed=1)
    discriminator = copy.deepcopy(model.discriminators[0])
    pairs = recorded(copy.deepcopy(model), batch)
    # Of D's turn: real, generated, and both once more for the penalties; then G's turn.
    assert [torch.equal(pairs[i][1], pairs[0][1]) for i in range(6)] == [True] * 6
    (real, masks), (fake, _) = pairs[:2]
    logits, slopes = [], []
    for img in (real, fake):
        img = img.clone().requires_grad_()
        maps = discriminator(img, masks)
        total = sum(stages[-1].flatten(1).mean(dim=1).sum() for stages in maps)
        slopes.append(torch.autograd.grad(total, img, retain_graph=True)[0])
        logits.append([stages[-1] for stages in maps])
    expected = dict(
        loss_disc_generated=sum(
            torch.nn.functional.softplus(b - a).mean() for a, b in zip(*logits, strict=True)
        ),
        loss_disc_r1=2 * 0.3 * slopes[0].square().flatten(1).sum(1).mean(),
        loss_disc_r2=2 * 0.3 * slopes[1].square().flatten(1).sum(1).mean(),
    )
    log = step(model, batch)
    for name, value in expected.items():
        assert log[name].item() == pytest.approx(value.item(), rel=1e-4), name
    assert 'loss_disc_real' not in log and 'loss_disc_segmented' not in log
    assert 'loss_segmenter' not in log and log['loss_gen'].item() > 0


def test_segmented_masks_have_no_partner_to_be_compared_with():
    relativistic = dict(type='PatchAdversarialLoss', mode='relativistic')
    with pytest.raises(ValueError, match='segmenter_share=0 and segmenter_adversarial_weight=0'):
        tiny_model(adversarial_loss=relativistic)


def test_the_stain_of_the_real_image_is_the_code_of_the_generated_one():
    model = tiny_model(**PLAIN, stain_share=0.25)
    pale, dark = tissue_batch(seed=1), tissue_batch(seed=2)
    pale['inputs']['img'] = pale['inputs']['img'] // 4 + 180
    step(model, pale)
    step(model, dark)
    assert model.colours.count == 8
    images = {}
    for name, batch in (('pale', pale), ('dark', dark)):
        model.step_random = StepRandom(0, 0)
        img = resize_images(batch['inputs']['img'].float() / 127.5 - 1, 8, 8)
        images[name] = model._step_noise(img, 0)
    # The same white noise, moved by a number per image and channel.
    difference = images['pale'] - images['dark']
    torch.testing.assert_close(difference, difference[..., :1, :1].expand_as(difference))
    assert difference[:, :, 0, 0].abs().max() > 0.2


def test_whitened_colours_have_no_mean_and_no_correlation():
    colours = MeanColours()
    draws = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    mixed = draws @ torch.tensor([[0.3, 0.1, 0.0], [0.0, 0.2, 0.1], [0.0, 0.0, 0.1]]) + 0.2
    images = mixed[:, :, None, None].expand(-1, -1, 2, 2)
    for part in images.split(100):
        colours.update(part)
    codes = colours.code(images).double()
    torch.testing.assert_close(codes.mean(0), torch.zeros(3).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(codes.T @ codes / 500, torch.eye(3).double(), atol=0.03, rtol=0)
    later = MeanColours()
    later.load_state_dict(colours.state_dict())
    assert torch.equal(later.code(images), colours.code(images))


def test_a_stain_needs_a_generator_that_can_show_it():
    with pytest.raises(ValueError, match="set generator.norm='none'"):
        tiny_model(stain_share=0.5)
    with pytest.raises(ValueError, match='between 0 and 1'):
        tiny_model(**PLAIN, stain_share=1.5)


def test_one_seed_one_stain():
    """Samples of one mask differ in stain by their seeds, whatever the batch."""
    model = tiny_model(**PLAIN, stain_share=0.5)
    noise = model.draw_noise([3, 4], 0, 8, 8)
    torch.testing.assert_close(noise[1:], model.draw_noise([4], 0, 8, 8))
    many = torch.cat([model.draw_noise([seed], 0, 32, 32) for seed in range(200)])
    assert many.std().item() == pytest.approx(1.0, abs=0.1)
    assert many.mean(dim=(2, 3)).var().item() == pytest.approx(0.5, abs=0.1)
    assert model.draw_noise([3], 1, 8, 8).abs().max() < 1  # finer scales: white, 0.1
