# As ldm_tct.py on an autoencoder that others trained, with no stage 1 of your own: CELLGAN_AUTOENCODER
# names a folder that diffusers saved, e.g. a copy of stabilityai/sd-vae-ft-mse or the vae of a Stable
# Diffusion 1.x pipeline, whose architecture is that of autoencoder_kl_256.py. Nothing is downloaded.
_base_ = 'ldm_tct.py'
model = dict(autoencoder_checkpoint='{{$CELLGAN_AUTOENCODER:data/sd-vae-ft-mse}}')
