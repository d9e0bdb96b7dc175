# Adam (0.5, 0.9) and a learning rate of 4.5e-6 per image of the batch (8 here), as in Rombach et al.'s
# program. 60k iterations are our choice for thousands of images.
train_cfg = dict(type='ResumableTrainLoop', max_iters=60_000)
optim_wrapper = dict(
    constructor='MultiOptimWrapperConstructor',
    autoencoder=dict(optimizer=dict(type='Adam', lr=3.6e-5, betas=(0.5, 0.9))),
    discriminator=dict(optimizer=dict(type='Adam', lr=3.6e-5, betas=(0.5, 0.9))))
