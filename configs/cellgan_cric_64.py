# CellGAN on CRIC Cervix patches at 64 px, sized for two CPU cores.
_base_ = 'cellgan_cric.py'
size = 64
model = dict(
    generator=dict(out_size=size, base_channels=8, sgc_fusion='modulate'),
    discriminator=dict(in_size=size, base_channels=8),
    ema_config=dict(start_iter=200, momentum=0.01))
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
            dict(type='PackCellInputs'),
        ]))
default_hooks = dict(checkpoint=dict(interval=500), logger=dict(interval=50))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='SampleSheetHook', interval=500),
]
