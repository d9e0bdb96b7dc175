# The ablations of Table 2 with the small model on the phantom set (64 px, two CPU cores), six
# minutes of training each. First train the classifier for the evaluation:
#   python tools/train.py configs/classifiers/resnet18_phantom.py
title = 'Ablations on the phantom set'
config = '../cellgan_phantom.py'
_no_sgc = {'model.generator.skip_type': 'sle'}
_no_mapping = {**_no_sgc, 'model.generator.mapping_depth': 0}
models = [
    dict(
        name='Model i',
        options={**_no_mapping, 'model.discriminator.head': 'global'},
        settings={'(a) PatchGAN': False, '(b) class mapping': False, '(c) SGC': False}),
    dict(
        name='Model ii',
        options=_no_mapping,
        settings={'(a) PatchGAN': True, '(b) class mapping': False, '(c) SGC': False}),
    dict(
        name='Model iii',
        options=_no_sgc,
        settings={'(a) PatchGAN': True, '(b) class mapping': True, '(c) SGC': False}),
    # The paper's "-" under SGC may mean no skip at all; FastGAN's SLE stands in Model iii.
    dict(
        name='Model iii, no skip',
        options={'model.generator.skip_type': None},
        settings={'(a) PatchGAN': True, '(b) class mapping': True, '(c) SGC': False}),
    dict(
        name='CellGAN',
        settings={'(a) PatchGAN': True, '(b) class mapping': True, '(c) SGC': True}),
]
evaluation = '../_base_/evaluation/phantom_fd.py'
budget = dict(minutes=6)
