# Table 3 without a leak: every generator is trained once per fold, on all images except the test images and
# their groups. Latent diffusion first trains its autoencoder on the same images.
#   python tools/benchmark.py configs/benchmarks/cellgan_table3_clean_tct.py --data DIR --jobs 8
_base_ = 'cellgan_table3_tct.py'
title = 'Table 3: data augmentation, TCT, one generator per fold'
train_generators = True
generators = dict(
    _delete_=True,
    BigGAN=dict(config='../biggan/biggan_tct.py'),
    LDM=dict(stages=[
        dict(config='../latent_diffusion/autoencoder_kl_tct.py'),
        dict(
            config='../latent_diffusion/ldm_tct.py',
            options={'model.autoencoder_checkpoint': '{stage0}'}),
    ]),
    CellGAN=dict(config='../cellgan_tct.py'))
