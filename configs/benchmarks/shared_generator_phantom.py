# Does a shared generator help, on phantoms at 64 px? CellGAN was trained on the split `train` (the shipped
# model); the classifiers get few images of the other pseudo slides of the split `test`. "True process" adds
# phantoms of the training split: what a perfect generator would add. Two and a half hours of one core, which a
# shorter list of shares (--cfg-options "shares=[0.2]") or fewer seeds divide.
#   python tools/dataset_converters/phantom.py --out data/phantom --size 64 \
#       --splits train=1000,val=200,test=200
#   python tools/benchmark.py configs/benchmarks/shared_generator_phantom.py
_base_ = '_shared_generator.py'
title = 'A shared generator, phantoms at 64 px'
data = dict(
    data_root='{{$CELLGAN_PHANTOM_ROOT:data/phantom}}', ann_file='manifest.csv', split='test')
generators = {
    'CellGAN': dict(
        config='../cellgan_plus/cellgan_plus_phantom.py',
        checkpoint='{{$CELLGAN_CHECKPOINT:weights/cellgan_phantom.safetensors}}'),
    'True process': dict(
        folder='{{$CELLGAN_PHANTOM_ROOT:data/phantom}}', split='train', trained_on='itself'),
}
rows = {'True process': dict(generator='True process', rule='none', ratio=8, pool=8)}
