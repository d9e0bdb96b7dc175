# As ldm_tct.py, with a published autoencoder in place of stage 1. CELLGAN_AUTOENCODER names a folder that
# diffusers saved, e.g. a copy of stabilityai/sd-vae-ft-mse or the vae of a Stable Diffusion 1.x pipeline.
# Its architecture must be that of autoencoder_kl_256.py. Nothing is downloaded.
_base_ = 'ldm_tct.py'
model = dict(autoencoder_checkpoint='{{$CELLGAN_AUTOENCODER:data/sd-vae-ft-mse}}')
