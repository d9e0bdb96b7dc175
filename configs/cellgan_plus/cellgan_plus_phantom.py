# CellGAN-plus on the phantom set (1,000 training images per class), an hour and a half of one core:
#   python tools/dataset_converters/phantom.py --out data/phantom --size 64 \
#       --splits train=1000,val=200,test=200
#   python tools/train.py configs/classifiers/resnet18_phantom.py
#   python tools/train.py configs/cellgan_plus/cellgan_plus_phantom.py --amp
# Judged while it trains by the phantom's own classifier, on held-out images.
_base_ = [
    '../_base_/short_runtime.py',
    '../_base_/datasets/cell_patches_64.py',
    '../_base_/models/cellgan_plus_64_small.py',
    '../_base_/schedules/adam_plus.py',
    '../_base_/evaluation/phantom_fd.py',
]
train_cfg = dict(val_interval=1000)
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_PHANTOM_ROOT:data/phantom}}',
        ann_file='manifest.csv',
        split='train',
        pipeline=[
            dict(type='FitCellPatch', out_size=64),
            # A smear has no up: all eight views.
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5, diagonal=0.5),
            dict(type='PackCellInputs'),
        ]))
default_hooks = dict(checkpoint=dict(interval=500), logger=dict(interval=100))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='ModelSelectionHook'),
    dict(type='SampleSheetHook', interval=1000),
]
