"""Consistency regularisation (Eq. 9) against its terms written out by hand."""

import copy
import math

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from tiny_pyramid import OPTIMIZERS, SCALES, SEGMENTER, optimizers, tissue_batch

from cellgan_plugin.engine.amp import enable_amp
from cellgan_plugin.models import MeanTeacher

pytestmark = pytest.mark.usefixtures('mmagic_scope')


def mean_teacher(**kwargs):
    torch.manual_seed(0)
    options = dict(num_classes=2, scales=SCALES[-1:], segmenter=dict(SEGMENTER, dropout=0.0))
    return MeanTeacher(**{**options, **kwargs})


def test_both_terms_of_eq_9():
    model = mean_teacher(consistency_weight=3.0, ramp_up=0, perturbation=0.0)
    with torch.no_grad():
        for p in model.teacher.parameters():
            p.add_(0.05 * torch.randn_like(p))
    model.train()
    batch = tissue_batch(4, unlabelled=2)
    student, teacher = copy.deepcopy(model.segmenters[0]), copy.deepcopy(model.teacher)
    x = torch.cat([batch['inputs']['img'].float() / 127.5 - 1, torch.zeros(4, 2, 32, 32)], dim=1)
    p, q = student(x).softmax(dim=1), teacher(x).softmax(dim=1)
    masks = batch['inputs']['mask'][:2].long()
    entropy = -p[:2].gather(1, masks[:, None]).log().mean()
    log = model.train_step(batch, optimizers(model))
    assert log['loss_cross_entropy'].item() == pytest.approx(entropy.item(), rel=1e-4)
    assert log['loss_consistency'].item() == pytest.approx(
        3 * (p - q).square().mean().item(), rel=1e-4
    )
    assert log['loss'].item() == pytest.approx(
        (log['loss_cross_entropy'] + log['loss_consistency']).item(), rel=1e-5
    )


def test_the_teacher_follows_the_student():
    model = mean_teacher(ema_decay=0.9)
    model.train()
    for iteration in range(3):
        before = [p.clone() for p in model.teacher.parameters()]
        model.train_step(tissue_batch(4, unlabelled=2, seed=iteration), optimizers(model))
        decay = min(0.9, 1 - 1 / (iteration + 1))
        for old, new, student in zip(
            before, model.teacher.parameters(), model.segmenters[0].parameters(), strict=True
        ):
            assert torch.allclose(new, decay * old + (1 - decay) * student, atol=1e-6)
            assert new.grad is None and not new.requires_grad


def test_the_weight_grows():
    model = mean_teacher(consistency_weight=2.0, ramp_up=10)
    for epoch, expected in ((0, math.exp(-5)), (5, math.exp(-1.25)), (10, 1), (99, 1)):
        model.scale_epoch = epoch
        assert model.weight_now() == pytest.approx(2 * expected)


def test_masks_of_unlabelled_images_are_never_read():
    ends = []
    for fill in (255, 1):
        model = mean_teacher()
        batch = tissue_batch(4, unlabelled=2)
        batch['inputs']['mask'][2:] = fill
        model.train().train_step(batch, optimizers(model))
        ends.append({k: v.clone() for k, v in model.state_dict().items()})
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[0])


def test_the_teacher_segments():
    model = mean_teacher()
    torch.nn.init.zeros_(model.teacher.last.weight)
    model.teacher.last.bias.data = torch.tensor([0.0, 1.0])
    logits = model.train().segment(torch.rand(1, 3, 32, 32))
    assert torch.equal(logits[0, 1], torch.ones(32, 32)) and model.training


def test_one_scale_only():
    with pytest.raises(ValueError, match='one scale, got 2'):
        mean_teacher(scales=SCALES[:2])


def test_the_backward_runs_outside_of_autocast(monkeypatch):
    model = mean_teacher()
    model.train()
    config = copy.deepcopy(OPTIMIZERS)
    enable_amp(config)
    wrappers = build_optim_wrapper(model, config)
    seen = []
    update = wrappers['segmenter'].update_params

    def watched(loss):
        seen.append(torch.is_autocast_cpu_enabled())
        update(loss)

    monkeypatch.setattr(wrappers['segmenter'], 'update_params', watched)
    model.train_step(tissue_batch(4, unlabelled=2), wrappers)
    assert seen == [False]
