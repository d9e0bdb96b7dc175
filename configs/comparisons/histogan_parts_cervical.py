# An ablation of HistoGAN that removes one part at a time (Sec. 3.1.1), at the paper's size and schedule,
# evaluated with the task's own ResNet-34:
#   python tools/train.py configs/classifiers/resnet34_cervical.py
#   python tools/compare.py configs/comparisons/histogan_parts_cervical.py
# The paper has no such table. Without conditional batch norm the label enters the generator with the noise,
# and the critics by the projection, which the other rows do not have.
title = 'HistoGAN without one of its parts'
config = '../histogan/histogan_cervical.py'
_no_attention = {'model.generator.attention': False, 'model.discriminator.attention': False}
_no_class_norm = {
    'model.generator.conditional_norm': False,
    'model.discriminator.conditional_norm': False,
    'model.discriminator.projection': True,
}
models = [
    dict(name='HistoGAN'),
    dict(name='without self-attention', options=_no_attention),
    dict(
        name='without spectral norm',
        options={'model.discriminator.spectral_norm': False}),
    dict(name='without conditional batch norm', options=_no_class_norm),
    dict(
        name='without minibatch discrimination',
        options={'model.discriminator.num_kernels': 0}),
]
evaluation = '../_base_/evaluation/cervical_fd.py'
