# Domain classifier of the CRIC patches at 224 px. Data: CELLGAN_CRIC_ROOT, the training fields of the
# manifest, as configs/cellgan_cric.py. The shown accuracy is on training images; with enough
# held-out ones set val_dataloader.dataset.split=val. For class folders without a manifest set
# train_dataloader.dataset.ann_file= and train_dataloader.dataset.split=None by --cfg-options, and
# the same for val_ and test_dataloader.
_base_ = 'resnet34_tct.py'
iterations = 2000
data = dict(
    data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
    ann_file='manifest.csv',
    split='train',
    extra_classes='skip')
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = dict(dataset=data)
train_cfg = dict(max_iters=iterations, val_interval=iterations // 4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=iterations // 20),
    dict(
        type='CosineAnnealingLR',
        T_max=iterations - iterations // 20,
        by_epoch=False,
        begin=iterations // 20,
        end=iterations),
]
