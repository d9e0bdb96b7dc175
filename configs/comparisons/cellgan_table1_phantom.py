# Table 1 and Fig. 2 with the small models on the phantom set (64 px, two CPU cores), six
# minutes of training each; SNGAN-projection shows that any conditional GAN of MMagic can be a row.
# First train the classifier for the evaluation:
#   python tools/train.py configs/classifiers/resnet18_phantom.py
title = 'Generators on the phantom set'
models = [
    dict(name='SNGAN-projection', config='../sngan_proj/sngan_proj_phantom.py'),
    dict(name='BigGAN', config='../biggan/biggan_phantom.py'),
    dict(
        name='LDM',
        stages=[
            dict(config='../latent_diffusion/autoencoder_phantom.py', share=1 / 3),
            dict(
                config='../latent_diffusion/ldm_phantom.py',
                options={'model.autoencoder_checkpoint': '{stage0}'},
                share=2 / 3),
        ]),
    dict(name='CellGAN', config='../cellgan_phantom.py'),
]
evaluation = '../_base_/evaluation/phantom_fd.py'
budget = dict(minutes=6)
