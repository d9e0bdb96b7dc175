# Stage 2 of latent diffusion on the phantom set, sized for two CPU cores. First train stage 1:
#   python tools/train.py configs/latent_diffusion/autoencoder_phantom.py
# CELLGAN_AUTOENCODER: its work directory (default: work_dirs/autoencoder_phantom).
_base_ = [
    '../_base_/short_runtime.py',
    '../_base_/datasets/cell_patches_64.py',
    '../_base_/models/ldm_64_small.py',
    '../_base_/schedules/ldm_short.py',
]
model = dict(
    autoencoder_checkpoint='{{$CELLGAN_AUTOENCODER:work_dirs/autoencoder_phantom}}',
    autoencoder_config='configs/latent_diffusion/autoencoder_phantom.py')
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_PHANTOM_ROOT:data/phantom}}', ann_file='manifest.csv', split='train'))
