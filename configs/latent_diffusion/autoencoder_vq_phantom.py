# As autoencoder_phantom.py with a codebook (VQModel); stage 2: ldm_vq_phantom.py.
_base_ = 'autoencoder_phantom.py'
model = dict(
    autoencoder=dict(type='VQModel', num_vq_embeddings=256),
    regulariser_weight=1.0)
