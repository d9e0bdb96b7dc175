# Table 2 and Fig. 3: the paper's ablations, at its size and schedule, evaluated by its FID. Each row
# is a config; one command trains them all:
#   python tools/compare.py configs/comparisons/cellgan_table2_tct.py
title = 'Table 2, ablations on the TCT set'
models = [
    dict(
        name='Model i',
        config='../ablations/model_i.py',
        settings={'(a) PatchGAN': False, '(b) class mapping': False, '(c) SGC': False}),
    dict(
        name='Model ii',
        config='../ablations/model_ii.py',
        settings={'(a) PatchGAN': True, '(b) class mapping': False, '(c) SGC': False}),
    dict(
        name='Model iii',
        config='../ablations/model_iii.py',
        settings={'(a) PatchGAN': True, '(b) class mapping': True, '(c) SGC': False}),
    # The paper's "-" under SGC may mean no skip at all; FastGAN's SLE stands in Model iii.
    dict(
        name='Model iii, no skip',
        config='../ablations/model_iii_no_skip.py',
        settings={'(a) PatchGAN': True, '(b) class mapping': True, '(c) SGC': False}),
    dict(
        name='CellGAN',
        config='../cellgan_tct.py',
        settings={'(a) PatchGAN': True, '(b) class mapping': True, '(c) SGC': True}),
]
evaluation = '../_base_/evaluation/tct_fid.py'
