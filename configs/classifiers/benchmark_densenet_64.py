# A small DenseNet at 64 px (18 layers of growth 8), used beside benchmark_resnet18_64.py.
_base_ = 'benchmark_resnet18_64.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='DenseNet',
        arch=dict(growth_rate=8, depths=[2, 4, 8, 4], init_channels=16)),
    head=dict(in_channels=76))
