# As ldm_phantom.py on the autoencoder with a codebook (autoencoder_vq_phantom.py).
_base_ = 'ldm_phantom.py'
model = dict(
    autoencoder=dict(type='VQModel', num_vq_embeddings=256),
    autoencoder_checkpoint='{{$CELLGAN_AUTOENCODER:work_dirs/autoencoder_vq_phantom}}',
    autoencoder_config='configs/latent_diffusion/autoencoder_vq_phantom.py')
