# CellGAN on the phantom set, sized for two CPU cores: 64 px, a quarter of the channels, batch 16.
_base_ = 'cellgan_tct.py'
size = 64
model = dict(
    generator=dict(out_size=size, base_channels=8),
    discriminator=dict(in_size=size, base_channels=8),
    ema_config=dict(start_iter=200, momentum=0.01))
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(
        data_root='{{$CELLGAN_PHANTOM_ROOT:data/phantom}}',
        ann_file='manifest.csv',
        split='train',
        cache='ram',
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
            dict(type='PackCellInputs'),
        ]))
train_cfg = dict(max_iters=2000)
default_hooks = dict(checkpoint=dict(interval=250), logger=dict(interval=25))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='SampleSheetHook', interval=250),
]
