# Table 1 and Fig. 2: CellGAN and its baselines at the paper's size, each with its own schedule, evaluated
# with the paper's FID.
#   python tools/compare.py configs/comparisons/cellgan_table1_tct.py
title = 'Table 1, generators on the TCT set'
models = [
    dict(name='BigGAN', config='../biggan/biggan_tct.py'),
    dict(
        name='LDM',
        stages=[
            dict(config='../latent_diffusion/autoencoder_kl_tct.py'),
            dict(
                config='../latent_diffusion/ldm_tct.py',
                options={'model.autoencoder_checkpoint': '{stage0}'}),
        ]),
    dict(name='CellGAN', config='../cellgan_tct.py'),
]
evaluation = '../_base_/evaluation/tct_fid.py'
