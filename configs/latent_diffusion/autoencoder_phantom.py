# Stage 1 of latent diffusion on the phantom set, sized for two CPU cores. Held-out images are
# reconstructed on the sheets, and their PSNR is logged.
_base_ = [
    '../_base_/short_runtime.py',
    '../_base_/datasets/cell_patches_64.py',
    '../_base_/models/autoencoder_kl_64_small.py',
    '../_base_/schedules/autoencoder_short.py',
    '../_base_/evaluation/real_images.py',
]
phantom = dict(data_root='{{$CELLGAN_PHANTOM_ROOT:data/phantom}}', ann_file='manifest.csv')
train_dataloader = dict(batch_size=8, dataset=dict(**phantom, split='train'))
train_cfg = dict(val_interval=200)
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    dataset=dict(
        **phantom,
        split='val',
        pipeline=[
            dict(type='FitCellPatch', out_size=64),
            dict(type='PackCellInputs'),
        ]))
val_evaluator = dict(type='Evaluator', metrics=[dict(type='PSNR')])
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='ReconstructionSheetHook', interval=200),
]
