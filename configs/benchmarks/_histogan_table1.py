# The rows of HistoGAN's Table 1 (Sec. 4.3.3): one pool of candidates, three ways to select from it. HistoGAN
# is the name of a generator in the config that inherits from this one. To use another generator:
#   --generator CellGAN=configs/cellgan_cric_64.py      (or CONFIG.py:CHECKPOINT, or a folder of images)
# A row may also have both `transforms` and a generator, as Sec. 5 recommends.
_traditional = [  # "horizontal flipping and color jittering"; how strong is not said
    dict(type='RandomCellFlip', horizontal=0.5, vertical=0.0),
    dict(type='RandomTissueColor', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02),
]
# Not in the paper: what a laboratory does before it trains a generator. Of Papanicolaou smears:
# stain='papanicolaou', as in histogan_table1_cric_64.py.
_stain = [
    dict(type='RandomCellFlip', horizontal=0.5, vertical=0.0),
    dict(type='RandomStain', stain='he', strength=0.2, offset=0.05),
]
_ratio = 0.5  # r, best in Fig. 12; pools have 4 r N images of each class (Algorithm 1)
rows = {
    'Traditional augmentation': dict(transforms=_traditional),
    'Stain augmentation': dict(transforms=_stain),
    'GAN augmentation': dict(generator='HistoGAN', rule='none', ratio=_ratio),
    'Single filtering': dict(generator='HistoGAN', rule='single_filtering', ratio=_ratio),
    'Selective augmentation': dict(generator='HistoGAN', rule='selective', ratio=_ratio),
}
baseline = 'Baseline'
selection = dict(passes=5, seed=0)  # K (Sec. 4.2.2)
metrics = ['accuracy', 'auc', 'sensitivity', 'specificity']
train_generators = True  # on the training images of the split alone
per_class = None
# Five runs with random initialisation (Sec. 4.3.3) on one split. How much another split would change is
# not in their deviation; --folds 5 --seeds 0 draws five splits, with a generator each.
num_folds = 1
seeds = [0, 1, 2, 3, 4]
