import pytest
import torch
from mmagic.registry import MODELS
from mmagic.structures import DataSample

from cellgan_plugin.models.data_preprocessor import to_grey_levels
from cellgan_plugin.randomness import generator_for

pytestmark = pytest.mark.usefixtures('mmagic_scope')


@pytest.fixture
def model(mmagic_scope):
    torch.manual_seed(0)
    net = MODELS.build(
        dict(
            type='CellGAN',
            num_classes=5,
            noise_size=8,
            generator=dict(type='CellGANGenerator', out_size=32, base_channels=2),
            ema_config=dict(type='ExponentialMovingAverage'),
        )
    ).eval()
    with torch.no_grad():
        for parameter in net.generator_ema.parameters():  # so that it matters which one is asked
            parameter.mul_(1 + 0.1 * torch.randn_like(parameter))
    return net


def noise(count):
    return torch.randn(count, 8, generator=generator_for(0, 'noise'))


def images(samples, which=None):
    """RGB grey levels; ``fake_img`` is BGR."""
    return torch.stack([(s.get(which) if which else s).fake_img for s in samples]).flip(1)


def own(model, which, *args, **kwargs):
    net = {'ema': model.generator_ema, 'orig': model.generator}[which]
    with torch.no_grad():
        return to_grey_levels(net(*args, **kwargs))


LABELS = {
    'tensor': torch.tensor([4, 0, 2]),
    'column': torch.tensor([[4], [0], [2]]),
    'list': [4, 0, 2],
    'callable': lambda shape: torch.tensor([4, 0, 2]).reshape(shape),
}


@pytest.mark.parametrize('form', LABELS)
@pytest.mark.parametrize('sample_model', ['ema', 'orig', 'ema/orig'])
@torch.no_grad()
def test_labels_and_truncation_are_honoured(model, sample_model, form):
    z = noise(3)
    inputs = dict(noise=z, labels=LABELS[form], sample_model=sample_model)
    inputs['sample_kwargs'] = dict(truncation=0.5)
    samples = model(inputs)
    for which in sample_model.split('/'):
        got = images(samples, which if '/' in sample_model else None)
        expected = own(model, which, 0.5 * z, label=LABELS['tensor'])
        torch.testing.assert_close(got, expected)
        whole = own(model, which, z, label=LABELS['tensor'])
        assert (got - whole).abs().max() > 1e-3
    assert [int(s.gt_label.label) for s in samples] == [4, 0, 2]
    assert all(s.sample_model == sample_model for s in samples)
    assert torch.equal(torch.stack([s.noise for s in samples]), z)


@torch.no_grad()
def test_the_two_generators_differ(model):
    inputs = dict(noise=noise(2), labels=[1, 1])
    both = model(dict(inputs, sample_model='ema/orig'))
    ema, orig = images(both, 'ema'), images(both, 'orig')
    assert (ema - orig).abs().max() > 1e-2
    assert torch.equal(images(model(inputs)), ema)  # the average is the default


@torch.no_grad()
def test_labels_of_the_data_sample_and_which_wins(model):
    z = noise(2)
    sample = DataSample()
    sample.set_gt_label(torch.tensor([[3], [1]]))
    expected = own(model, 'ema', z, label=torch.tensor([3, 1]))
    torch.testing.assert_close(images(model(dict(noise=z), sample)), expected)
    told = model(dict(noise=z, labels=[0, 0]), sample)
    torch.testing.assert_close(images(told), own(model, 'ema', z, label=torch.tensor([0, 0])))
    assert [int(s.gt_label.label) for s in told] == [0, 0]


@torch.no_grad()
def test_noise_in_every_form(model):
    z, labels = noise(2), [1, 2]
    expected = images(model(dict(noise=z, labels=labels)))
    assert torch.equal(
        images(model(dict(noise=lambda shape: z.reshape(shape), labels=labels))), expected
    )
    assert len(model(z)) == 2
    assert len(model(dict(num_batches=3))) == 3
    assert len(model(dict(labels=labels))) == 2
    mode_tensor = model(dict(noise=z, labels=labels), mode='tensor')
    torch.testing.assert_close(to_grey_levels(mode_tensor), expected)
    assert mode_tensor.min() >= -1 and mode_tensor.max() <= 1
    with pytest.raises(ValueError, match='mode'):
        model(dict(noise=z, sample_model='ema/orig'), mode='tensor')


@torch.no_grad()
def test_class_weights_mix(model):
    z = noise(2)
    weights = torch.tensor([[0.25, 0.75, 0, 0, 0], [0, 0, 0, 0, 1.0]])
    samples = model(dict(noise=z, labels=weights))
    torch.testing.assert_close(images(samples), own(model, 'ema', z, label=weights))
    assert [int(s.gt_label.label) for s in samples] == [1, 4]
    alone = own(model, 'ema', z[1:], label=torch.tensor([4]))
    torch.testing.assert_close(images(samples)[1:], alone, rtol=1e-5, atol=2e-3)  # of 255


@pytest.mark.parametrize(
    'inputs',
    [
        dict(noise=noise(3), labels=[0, 1]),
        dict(noise=noise(3), labels=torch.eye(5)[:2]),
        dict(noise=noise(3), num_batches=2),
        dict(labels=[0, 1], num_batches=3),
    ],
)
def test_counts_that_do_not_match(model, inputs):
    with pytest.raises(ValueError, match=r'[23] .*but|num_batches'):
        model(inputs)


@torch.no_grad()
def test_an_image_does_not_depend_on_its_batch(model):
    z, labels = noise(4), [0, 1, 2, 3]
    together = images(model(dict(noise=z, labels=labels)))
    for i in range(4):
        alone = images(model(dict(noise=z[i : i + 1], labels=labels[i : i + 1])))
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-5, atol=2e-3)  # of 255


def test_num_classes_has_to_be_said(mmagic_scope):
    with pytest.raises(ValueError, match='^num_classes'):
        MODELS.build(dict(type='CellGAN', generator=dict(type='CellGANGenerator', out_size=32)))
