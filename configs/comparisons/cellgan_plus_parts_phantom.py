# An ablation of CellGAN-plus that gives one part at a time back to the paper, on the phantom set (64 px, half an
# hour of a CPU core). First train the classifier for the evaluation:
#   python tools/train.py configs/classifiers/resnet18_phantom.py
title = 'CellGAN-plus without one of its parts, phantom set'
config = '../cellgan_plus/cellgan_plus_phantom.py'
models = [
    dict(name='CellGAN-plus'),
    dict(name='AdaIN by the class alone', options={'model.generator.style': 'class'}),
    dict(name='one convolution per block', options={'model.generator.block_depth': 1}),
    dict(
        name='spectral norm, R1 of 0.01 in D',
        options={
            'model.discriminator.spectral_norm': True,
            'model.r1_loss.loss_weight': 0.01,
            'model.r1_loss.interval': 1,
            'model.r2_loss': None,
        }),
    dict(
        name='logits of patches alone', options={'model.discriminator.type': 'CellGANDiscriminator'}),
    dict(name='hinge loss', options={'model.adversarial_loss.type': 'HingeGANLoss'}),
    dict(name='slope of tanh', options={'model.generator.least_slope': 0.0}),
    dict(
        name='with reconstruction',
        options={
            'model.discriminator.decoder_channels': (128, 64, 64, 32),
            'model.reconstruction_loss': dict(
                _delete_=True, type='ReconstructionLoss', loss_weight=1.0),
        }),
]
evaluation = '../_base_/evaluation/phantom_fd.py'
# Alike in time: what makes a step dearer must be worth it.
budget = dict(minutes=2.5)
