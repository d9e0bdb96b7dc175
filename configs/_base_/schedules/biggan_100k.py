# Adam as in the paper at 256 px (Brock et al. 2019), with four times the learning rate for the
# discriminator. 100k updates of the generator, as CellGAN; an update takes two iterations
# (model.discriminator_steps).
_base_ = 'adam_100k.py'
train_cfg = dict(max_iters=200_000)
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=5e-5, eps=1e-6)),
    discriminator=dict(optimizer=dict(lr=2e-4, eps=1e-6)))
