# Adam, fixed learning rate 2e-4 (HistoGAN, Sec. 4.2.1); betas: WGAN-GP and SAGAN. The number of
# iterations equals 1,000 epochs of 1,853 images at 64 per step.
train_cfg = dict(type='ResumableTrainLoop', max_iters=28_953)
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    generator=dict(optimizer=dict(type='Adam', lr=2e-4, betas=(0.0, 0.9))),
    discriminator=dict(optimizer=dict(type='Adam', lr=2e-4, betas=(0.0, 0.9))))
