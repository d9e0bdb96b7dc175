"""Schedules, freezing, generation and segmentation of a pyramid."""

import pytest
import torch
from tiny_pyramid import SCALES, optimizers, tiny_model, tissue_batch

from cellgan_plugin.models.data_preprocessor import to_model_range
from cellgan_plugin.models.pyramid_gan import parse_scales
from cellgan_plugin.models.pyramid_gan.scales import resize_masks

pytestmark = pytest.mark.usefixtures('mmagic_scope')


def sizes(*values):
    return tuple(dict(size=size, batch_size=2, iters=1) for size in values)


@pytest.mark.parametrize('num_classes', [2, 6])
@pytest.mark.parametrize('values', [(8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32, 64)])
def test_shapes_of_every_scale(values, num_classes):
    model = tiny_model(num_classes, scales=sizes(*values))
    model.begin_scale(len(values) - 1)
    batch = tissue_batch(2, values[-1], num_classes)['inputs']
    images = model.generate(batch['mask'], 0, return_scales=True)
    assert [tuple(image.shape) for image in images] == [(2, 3, s, s) for s in values]
    assert all(image.abs().max() <= 1 for image in images)
    logits = model.segment(to_model_range(batch['img']))
    assert logits.shape == (2, num_classes, values[-1], values[-1])


def test_schedules():
    first, second = parse_scales(
        [dict(size=64, batch_size=8, epochs=200), dict(size=128, batch_size=6, iters=5)]
    )
    assert first.steps(500) == 200 * 63 and second.steps(500) == 5
    assert first.labelled_size == 4
    for entries, message in (
        ([], 'scales is empty'),
        ([dict(size=64, batch_size=8)], 'either epochs or iters'),
        ([dict(size=64, batch_size=8, epochs=1, iters=1)], 'either epochs or iters'),
        ([dict(size=64, batch=8, epochs=1)], 'needs size and batch_size.*unknown: batch'),
        ([*sizes(16), *sizes(8)], 'from coarse to fine'),
        ([dict(size=64, batch_size=2, labelled=3, iters=1)], 'more labelled images'),
        ([dict(size=64, batch_size=0, iters=1)], 'batch_size must be a whole number'),
    ):
        with pytest.raises(ValueError, match=message):
            parse_scales(entries)


def test_only_the_current_scale_learns():
    model = tiny_model()
    model.train()
    for index in range(3):
        model.begin_scale(index)
        frozen = {
            f'{kind}{number}.{name}': value.clone()
            for kind, networks in model._kinds().items()
            for number, network in enumerate(networks)
            if number != index
            for name, value in network.state_dict().items()
        }
        before = {
            kind: [p.clone() for p in network.parameters()]
            for kind, network in model.trained_networks().items()
        }
        model.train()  # as the loop says before every step
        for _ in range(2):
            model.train_step(tissue_batch(), optimizers(model))
        for kind, networks in model._kinds().items():
            for number, network in enumerate(networks):
                assert network.training == (number == index)
                if number != index:
                    assert all(p.grad is None for p in network.parameters())
                    for name, value in network.state_dict().items():
                        assert torch.equal(frozen[f'{kind}{number}.{name}'], value)
        for kind, network in model.trained_networks().items():
            changed = [
                not torch.equal(a, b)
                for a, b in zip(before[kind], network.parameters(), strict=True)
            ]
            assert sum(changed) > len(changed) / 2, kind


def test_a_scale_begins_with_the_weights_of_the_coarser_one():
    model = tiny_model()
    model.train()
    model.train_step(tissue_batch(), optimizers(model))
    model.begin_scale(1)
    for name in ('discriminators', 'segmenters'):
        coarse, fine = getattr(model, name)[:2]
        for a, b in zip(coarse.state_dict().values(), fine.state_dict().values(), strict=True):
            assert torch.equal(a, b)
    masks = tissue_batch(2, 16)['inputs']['mask']
    coarse, fine = model.generate(masks, 5, return_scales=True)
    up = torch.nn.functional.interpolate(coarse, scale_factor=2, mode='bilinear')
    assert torch.allclose(fine, up, atol=1e-6)


def test_the_scale_travels_with_the_weights():
    model = tiny_model()
    model.begin_scale(2)
    other = tiny_model()
    other.load_state_dict(model.state_dict())
    assert other.scale == 2 and other.size == 32
    assert all(p.requires_grad for p in other.generators[2].parameters())
    assert not any(p.requires_grad for p in other.generators[0].parameters())


@pytest.mark.parametrize('former', [False, True])
def test_a_new_run_keeps_the_weights_of_every_scale_that_was_trained(former):
    """``load_from`` a finished pyramid: all scales start from it, not the coarsest alone."""
    finished = tiny_model()
    for index in range(1, 3):
        finished.begin_scale(index)
    with torch.no_grad():
        for number, parameter in enumerate(finished.parameters()):
            parameter.add_(0.01 * (number + 1))
    state = finished.state_dict()
    if former:  # a checkpoint of before the buffer
        del state['finest_trained']
    model = tiny_model()
    model.load_state_dict(state, strict=not former)
    model.enter_scale(0)
    again = tiny_model()  # stopped and resumed at the coarsest scale
    again.load_state_dict(model.state_dict())
    for one in (model, again):
        for index in range(1, 3):
            one.begin_scale(index)
        for name, value in finished.named_parameters():
            assert torch.equal(value, one.state_dict()[name]), name


def test_scales_beyond_the_loaded_ones_start_from_the_coarser():
    half = tiny_model()
    half.begin_scale(1)
    model = tiny_model()
    torch.nn.init.normal_(next(model.segmenters[2].parameters()))
    model.load_state_dict(half.state_dict())
    model.enter_scale(0)
    model.begin_scale(1)
    model.begin_scale(2)
    for a, b in zip(
        model.segmenters[1].parameters(), model.segmenters[2].parameters(), strict=True
    ):
        assert torch.equal(a, b)


def test_an_image_depends_on_its_mask_and_seed_alone():
    model = tiny_model()
    model.begin_scale(2)
    torch.nn.init.normal_(model.generators[1].last.weight, std=0.02)
    masks = tissue_batch(3)['inputs']['mask']
    together = model.generate(masks, [4, 9, 2])
    for number, seed in enumerate([4, 9, 2]):
        alone = model.generate(masks[number : number + 1], [seed])
        assert torch.allclose(together[number], alone[0], atol=1e-5)
    assert torch.equal(together, model.generate(masks, [4, 9, 2]))
    other = model.generate(masks, [5, 9, 2])
    assert (other[0] - together[0]).abs().max() > 1e-3
    assert torch.allclose(other[1:], together[1:], atol=1e-5)
    assert torch.equal(model.generate(masks, 4), model.generate(masks, [4, 5, 6]))


def test_masks_that_do_not_fit_are_named():
    model = tiny_model()
    model.begin_scale(2)  # stride 2 at 8 px is 8 px here
    with pytest.raises(ValueError, match='36x32 px: the sides must be multiples of 8'):
        model.generate(torch.zeros(1, 32, 36, dtype=torch.uint8))
    assert model.generate(torch.zeros(1, 32, 40, dtype=torch.uint8)).shape == (1, 3, 32, 40)
    with pytest.raises(ValueError, match='2 masks but 3 seeds'):
        model.generate(torch.zeros(2, 32, 32, dtype=torch.uint8), [1, 2, 3])


def test_segmentation_does_not_depend_on_the_batch():
    model = tiny_model()
    model.begin_scale(2)
    img = to_model_range(tissue_batch(3)['inputs']['img'])
    together = model.train().segment(img)
    assert model.training, 'the mode is put back'
    for number in range(3):
        alone = model.segment(img[number : number + 1])
        assert torch.allclose(together[number], alone[0], atol=1e-5)


def test_an_image_of_one_tile_is_segmented_as_a_whole():
    model = tiny_model()
    model.begin_scale(1)
    img = tissue_batch(1)['inputs']['img']
    found = model.val_step(dict(inputs=dict(img=[img[0]]), data_samples=None))[0].pred_sem_seg
    assert torch.equal(found.long(), model.segment(to_model_range(img)).argmax(dim=1)[0])


@pytest.mark.parametrize('size', [(45, 70), (20, 70), (7, 9), (32, 33)])
def test_whole_images_of_any_size(size):
    model = tiny_model(tile_size=32, min_overlap=8)
    img = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    mask = torch.zeros(size, dtype=torch.uint8)
    data = dict(inputs=dict(img=[img], mask=[mask]), data_samples=None)
    (found,) = model.val_step(data)
    assert found.pred_sem_seg.shape == found.gt_sem_seg.shape == size
    assert found.pred_sem_seg.dtype == torch.uint8
    probabilities = model.segment_whole(to_model_range(img))
    assert torch.allclose(probabilities.sum(dim=0), torch.ones(size), atol=1e-5)


def test_tiles_of_a_network_without_neighbours_equal_the_whole():
    """What must agree: a 1x1 segmenter at the data's own scale sees no borders."""
    model = tiny_model(
        scales=SCALES[-1:], segmenter=dict(type='mmagic.FCDenseNet', block_layers=())
    )
    network = model.segmenters[0]
    network.first = torch.nn.Conv2d(5, 48, 1)
    network.bottleneck = torch.nn.ModuleList()
    network.last = torch.nn.Conv2d(48, 2, 1)
    network.forward = lambda x: network.last(network.first(x))
    img = torch.rand(3, 45, 70) * 2 - 1
    whole = model.segment_scale(0, img[None], None)[0].softmax(dim=0)
    assert torch.allclose(model.segment_whole(img), whole, atol=1e-5)


def test_masks_are_resized_to_the_nearest_pixel():
    mask = torch.arange(36, dtype=torch.uint8).view(1, 6, 6)
    assert resize_masks(mask, 3, 3)[0].tolist() == [[7, 9, 11], [19, 21, 23], [31, 33, 35]]
    assert torch.equal(resize_masks(resize_masks(mask, 12, 12), 6, 6), mask)


def test_parts_that_are_missing_are_named():
    with pytest.raises(ValueError, match='needs a generator'):
        tiny_model(generator=None, discriminator=None, segmenter=None)
    with pytest.raises(ValueError, match='trained against a discriminator'):
        tiny_model(discriminator=None)
    with pytest.raises(ValueError, match='needs a segmenter and a discriminator'):
        tiny_model(segmenter=None, semi_supervised=True)
    only = tiny_model(segmenter=None)
    with pytest.raises(ValueError, match='no segmenter'):
        only.segment(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match='no generator'):
        tiny_model(generator=None, discriminator=None).generate(torch.zeros(1, 32, 32))
