# Stage 2 of latent diffusion at 256 px on the data of cellgan_tct.py. First train stage 1;
# CELLGAN_AUTOENCODER: its work directory (default: work_dirs/autoencoder_kl_tct).
#   python tools/train.py configs/latent_diffusion/ldm_tct.py --amp
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/cell_patches_256.py',
    '../_base_/models/ldm_256.py',
    '../_base_/schedules/ldm_100k.py',
]
model = dict(
    autoencoder_checkpoint='{{$CELLGAN_AUTOENCODER:work_dirs/autoencoder_kl_tct}}',
    autoencoder_config='configs/latent_diffusion/autoencoder_kl_tct.py')
