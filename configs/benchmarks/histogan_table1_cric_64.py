# Table 1 with CellGAN on CRIC Cervix at 64 px, on two CPU cores. 7:1:2 by slide field. Data:
# CELLGAN_CRIC_ROOT with the manifest of tools/dataset_converters/cric.py.
#   python tools/benchmark.py configs/benchmarks/histogan_table1_cric_64.py --jobs 2
_base_ = '_histogan_table1.py'
title = 'CRIC Cervix at 64 px'
data = dict(
    data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}', ann_file='manifest.csv', extra_classes='skip')
classifiers = dict(ResNet='../classifiers/benchmark_resnet18_plain_64.py')
# Five minutes of one core. Longer, or a generator that is there already (--generator), does it more justice.
generators = dict(CellGAN=dict(config='../cellgan_cric_64.py', iterations=600))
rows = {
    'Stain augmentation': dict(transforms=[
        dict(type='RandomCellFlip', horizontal=0.5, vertical=0.0),
        dict(type='RandomStain', stain='papanicolaou', strength=0.2, offset=0.05)]),
    'GAN augmentation': dict(generator='CellGAN'),
    'Single filtering': dict(generator='CellGAN'),
    'Selective augmentation': dict(generator='CellGAN'),
}
ratios = [7, 1, 2]
steps = 160  # the same for all rows
