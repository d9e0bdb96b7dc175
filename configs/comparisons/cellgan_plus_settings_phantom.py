# CellGAN-plus with one setting changed at a time, on the phantom set (64 px, an hour of a CPU core). First train
# the classifier for the evaluation:
#   python tools/train.py configs/classifiers/resnet18_phantom.py
title = 'CellGAN-plus with one setting changed, phantom set'
config = '../cellgan_plus/cellgan_plus_phantom.py'


def _width(channels):
    return {'model.generator.base_channels': channels, 'model.discriminator.base_channels': channels}


def _rate(value):
    return {
        'optim_wrapper.generator.optimizer.lr': value,
        'optim_wrapper.discriminator.optimizer.lr': value
    }


def _penalty(weight):
    return {'model.r1_loss.loss_weight': weight, 'model.r2_loss.loss_weight': weight}


models = [
    dict(name='CellGAN-plus'),  # width 4, rate 5e-4, batch 16, R1 and R2 of 2e-6, translation alone
    dict(name='width 8', options=_width(8)),
    dict(name='width 12', options=_width(12)),
    dict(name='learning rate 2.5e-4', options=_rate(2.5e-4)),
    dict(name='learning rate 1e-3', options=_rate(1e-3)),
    dict(name='batch 32', options={'train_dataloader.batch_size': 32}),
    dict(name='batch 64', options={'train_dataloader.batch_size': 64}),
    dict(
        name='EMA 0.99',
        options={'model.ema_config.momentum': 0.01, 'model.ema_config.power': None}),
    dict(
        name='EMA 0.9995',
        options={'model.ema_config.momentum': 0.0005, 'model.ema_config.power': None}),
    dict(name='R1 and R2 of 2e-7', options=_penalty(2e-7)),
    dict(name='R1 and R2 of 2e-5', options=_penalty(2e-5)),
    dict(name='no augmentation', options={'model.augment.policy': []}),
    dict(name='translation, cutout', options={'model.augment.policy': ['translation', 'cutout']}),
    dict(name='colour, translation', options={'model.augment.policy': ['color', 'translation']}),
    dict(
        name='adaptive augmentation',
        options={
            'model.augment.type': 'AdaptiveAugment',
            'model.augment.policy': ['color', 'translation', 'cutout'],
            'model.augment.target': 0.3,
            'model.augment.ramp_images': 20_000,  # 1,250 iterations of 16
        }),
    dict(name='mapping of one layer', options={'model.generator.mapping_depth': 1}),
    dict(name='mapping of eight layers', options={'model.generator.mapping_depth': 8}),
    dict(
        name='initial gain 0.02',
        options={'model.generator.init_gain': 0.02, 'model.discriminator.init_gain': 0.02}),
    dict(name='no deviation over the batch', options={'model.discriminator.group_size': 1}),
]
del _width, _rate, _penalty
evaluation = '../_base_/evaluation/phantom_fd.py'
# Alike in time: a wider network or a larger batch must be worth its dearer step.
budget = dict(minutes=2.5)
