# As biggan_tct.py, with differentiable augmentation of what the discriminator sees, CellGAN's
# policy (Sec. 3.1). For fewer or more discriminator steps: model.discriminator_steps (docs/baselines.md).
_base_ = 'biggan_tct.py'
model = dict(
    discriminator=dict(
        _delete_=True,
        type='AugmentedDiscriminator',
        discriminator={{_base_.model.discriminator}},
        augment=dict(type='DiffAugment', policy=['color', 'translation'])))
