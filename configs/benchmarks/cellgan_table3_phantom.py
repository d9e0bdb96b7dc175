# Table 3 on held-out phantoms at 64 px, in minutes on two CPU cores. First run tools/train.py
# configs/cellgan_phantom.py; CELLGAN_CHECKPOINT: its work directory.
# CellGAN has not seen the real images used here. "more phantoms" adds images of the training split: what a
# perfect generator would add.
title = 'Data augmentation, phantoms at 64 px'
data = dict(
    data_root='{{$CELLGAN_PHANTOM_ROOT:data/phantom}}', ann_file='manifest.csv', split='val')
classifiers = dict(
    ResNet='../classifiers/benchmark_resnet18_64.py',
    DenseNet='../classifiers/benchmark_densenet_64.py')
generators = {
    'CellGAN': dict(
        config='../cellgan_phantom.py',
        checkpoint='{{$CELLGAN_CHECKPOINT:work_dirs/cellgan_phantom}}'),
    'more phantoms': dict(
        folder='{{$CELLGAN_PHANTOM_ROOT:data/phantom}}', split='train', trained_on='itself'),
}
num_folds = 5
per_class = 50
synthetic_per_class = 100
epochs = 7
equal_steps = True  # a classifier this small has not finished learning after a few epochs
