# Adam for short runs of the small model; the learning rate is twice the paper's.
_base_ = 'adam_100k.py'
train_cfg = dict(max_iters=1200)
optim_wrapper = dict(
    generator=dict(optimizer=dict(lr=5e-4)), discriminator=dict(optimizer=dict(lr=5e-4)))
