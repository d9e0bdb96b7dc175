# Table 1 and Fig. 2 with the small models on CRIC Cervix patches (64 px, two CPU cores), six
# minutes of training each; SNGAN-projection shows that any conditional GAN of MMagic can be a row.
# First train the classifier for the evaluation:
#   python tools/train.py configs/classifiers/resnet18_cric_64.py
title = 'Generators on CRIC at 64 px'
models = [
    dict(name='SNGAN-projection', config='../sngan_proj/sngan_proj_cric_64.py'),
    dict(name='BigGAN', config='../biggan/biggan_cric_64.py'),
    dict(
        name='LDM',
        stages=[
            dict(config='../latent_diffusion/autoencoder_cric_64.py', share=1 / 3),
            dict(
                config='../latent_diffusion/ldm_cric_64.py',
                options={'model.autoencoder_checkpoint': '{stage0}'},
                share=2 / 3),
        ]),
    dict(name='CellGAN', config='../cellgan_cric_64.py'),
]
evaluation = '../_base_/evaluation/cric_64_fd.py'
budget = dict(minutes=6)
