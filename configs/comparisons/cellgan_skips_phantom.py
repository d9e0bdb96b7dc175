# What the skip modules of CellGAN's generator gain, on the phantom set (64 px, half an hour of a CPU core). All
# rows but the first have the same pairs of resolutions. First train the classifier for the evaluation:
#   python tools/train.py configs/classifiers/resnet18_phantom.py
title = 'Skip modules of CellGAN on the phantom set'
config = '../cellgan_phantom_modulate.py'
models = [
    dict(name='no skip', options={'model.generator.skip_type': None}),
    dict(name='SLE (FastGAN)', options={'model.generator.skip_type': 'sle'}),
    # As the authors' program: instance normalisation takes the first two modules out again.
    dict(name='SGC, added', options={'model.generator.sgc_fusion': 'add'}),
    dict(name='SGC, modulating'),
]
evaluation = '../_base_/evaluation/phantom_fd.py'
# Alike in steps: the modules cost time, but what they give a step is asked.
budget = dict(iterations=1500)
