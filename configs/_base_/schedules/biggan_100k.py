# Adam as in BigGAN-PyTorch and MMagic's ImageNet config: the discriminator four times as fast,
# eps 1e-6; as many iterations as CellGAN.
_base_ = 'adam_100k.py'
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=1e-4, eps=1e-6)),
    discriminator=dict(optimizer=dict(lr=4e-4, eps=1e-6)))
