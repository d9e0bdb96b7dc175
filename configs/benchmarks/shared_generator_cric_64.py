# A shared generator on CRIC patches at 64 px: CellGAN-plus trained on one half of the fields (the shipped
# model), classifiers on the other half. Class frequencies are kept; ten ASC-H images are too few for results
# of that class. Twenty minutes of one core.
#   python tools/dataset_converters/folders.py cric256 --out data/cric --policy keep --skip-unmatched \
#       --group-regex '(?P<group>[0-9a-f]{8})_[0-9]+' --split 0.5 0 0.5 \
#       --classes NILM ASC-US LSIL ASC-H HSIL
#   python tools/benchmark.py configs/benchmarks/shared_generator_cric_64.py
_base_ = '_shared_generator.py'
title = 'A shared generator, CRIC at 64 px'
data = dict(
    data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}', ann_file='manifest.csv', split='test')
generators = dict(
    CellGAN=dict(
        config='../cellgan_plus/cellgan_plus_cric_64.py',
        checkpoint='{{$CELLGAN_CHECKPOINT:weights/cellgan_plus_cric_64.safetensors}}'))
num_folds = 3  # ASC-H has a handful of fields
per_class = None
shares = [0.25, 1.0]
