# Stage 1 of latent diffusion at 256 px on the data of cellgan_tct.py: the autoencoder.
#   python tools/train.py configs/latent_diffusion/autoencoder_kl_tct.py --amp
# Then stage 2: ldm_tct.py.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/cell_patches_256.py',
    '../_base_/models/autoencoder_kl_256.py',
    '../_base_/schedules/autoencoder_60k.py',
]
train_dataloader = dict(batch_size=8)
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='ReconstructionSheetHook', interval=2000),
]
