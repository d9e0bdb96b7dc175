# Domain classifier of the CRIC patches at 224 px. Data: CELLGAN_CRIC_ROOT, as configs/cellgan_cric.py.
_base_ = 'resnet34_tct.py'
iterations = 2000
data = dict(data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}', extra_classes='skip')
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
