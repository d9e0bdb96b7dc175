# Adam, learning rate 2.5e-4, 100k iterations (Sec. 3.1); betas: the authors' program. fused=True makes
# one pass over the weights.
train_cfg = dict(type='ResumableTrainLoop', max_iters=100_000)
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    generator=dict(optimizer=dict(type='Adam', lr=2.5e-4, betas=(0.0, 0.999), fused=True)),
    discriminator=dict(optimizer=dict(type='Adam', lr=2.5e-4, betas=(0.0, 0.999), fused=True)))
