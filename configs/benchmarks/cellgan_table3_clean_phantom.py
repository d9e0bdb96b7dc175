# cellgan_table3_clean_tct.py on phantoms at 64 px: CellGAN and latent diffusion, each trained once per fold.
#   CELLGAN_PHANTOM_ROOT=demo/data python tools/benchmark.py \
#       configs/benchmarks/cellgan_table3_clean_phantom.py --jobs 2
_base_ = 'cellgan_table3_phantom.py'
title = 'Data augmentation, phantoms at 64 px, one generator per fold'
data = dict(split='train')
train_generators = True
generators = dict(
    _delete_=True,
    LDM=dict(stages=[
        dict(config='../latent_diffusion/autoencoder_phantom.py'),
        dict(
            config='../latent_diffusion/ldm_phantom.py',
            options={'model.autoencoder_checkpoint': '{stage0}'}),
    ]),
    CellGAN=dict(config='../cellgan_phantom.py'))
