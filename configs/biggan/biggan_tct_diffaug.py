# As biggan_tct.py, with differentiable augmentation of the discriminator's images by CellGAN's policy
# (Sec. 3.1). model.discriminator_steps sets the discriminator steps (docs/baselines.md).
_base_ = 'biggan_tct.py'
model = dict(
    discriminator=dict(
        _delete_=True,
        type='AugmentedDiscriminator',
        discriminator={{_base_.model.discriminator}},
        augment=dict(type='DiffAugment', policy=['color', 'translation'])))
