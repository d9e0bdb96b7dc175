# HistoGAN without one of its parts at a time on the tissue phantom (64x32, two CPU cores), six minutes of
# training each. First the classifier that evaluates:
#   python tools/train.py configs/classifiers/resnet18_tissue_phantom.py
# The critics of this small model see the label through the projection in every row.
title = 'HistoGAN without one of its parts, tissue phantom'
_config = '../histogan/histogan_tissue_phantom.py'
_row = dict(config=_config)
_no_attention = {'model.generator.attention': False, 'model.discriminator.attention': False}
_no_class_norm = {
    'model.generator.conditional_norm': False,
    'model.discriminator.conditional_norm': False,
}
models = [
    dict(name='HistoGAN', **_row),
    dict(name='without self-attention', **_row, options=_no_attention),
    dict(
        name='without spectral norm', **_row,
        options={'model.discriminator.spectral_norm': False}),
    dict(name='without conditional batch norm', **_row, options=_no_class_norm),
    dict(
        name='without minibatch discrimination', **_row,
        options={'model.discriminator.num_kernels': 0}),
]
evaluation = '../_base_/evaluation/tissue_phantom_fd.py'
budget = dict(minutes=6)
