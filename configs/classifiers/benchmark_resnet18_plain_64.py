# benchmark_resnet18_64.py without flips: the baseline of a Table 1 whose rows add augmentation.
_base_ = 'benchmark_resnet18_64.py'
size = 64
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='mmpretrain.PackInputs'),
        ]))
