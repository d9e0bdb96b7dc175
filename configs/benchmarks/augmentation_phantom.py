# Two free baselines (flips with colour jitter; stain augmentation) and images of CellGAN, on patches of phantom
# slides at 64 px, each slide with its own stain (docs/slides.md). First run
# tools/train.py configs/cellgan_phantom.py; CELLGAN_CHECKPOINT: its work directory.
# CellGAN has not seen the real images used here.
title = 'Augmentation, phantom slides at 64 px'
data = dict(
    data_root='{{$CELLGAN_PHANTOM_ROOT:data/phantom_cells}}', ann_file='manifest.csv', split='val')
classifiers = dict(ResNet='../classifiers/benchmark_resnet18_plain_64.py')
generators = {
    'CellGAN': dict(
        config='../cellgan_phantom.py',
        checkpoint='{{$CELLGAN_CHECKPOINT:work_dirs/cellgan_phantom}}'),
}
_flips = dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5)
rows = {
    'Traditional augmentation': dict(transforms=[
        _flips,
        dict(type='RandomTissueColor', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.02)]),
    'Stain augmentation': dict(transforms=[
        _flips,
        dict(type='RandomStain', stain='papanicolaou', strength=0.2, offset=0.05)]),
    'CellGAN': dict(generator='CellGAN', ratio=1.0, pool=1.0),
}
baseline = 'Baseline'
per_class = 100
num_folds = 5
steps = 160  # the same for all rows
