# Adam(0.5, 0.999), 1e-4 for G, 5e-4 for S and D (Sec. 3.4), new at every scale. model.scales has the
# length and batch size of each scale.
train_cfg = dict(type='ScaleTrainLoop', val_interval=2000)
optim_wrapper = dict(
    constructor='ScaleOptimWrapperConstructor',
    generator=dict(optimizer=dict(type='Adam', lr=1e-4, betas=(0.5, 0.999))),
    discriminator=dict(optimizer=dict(type='Adam', lr=5e-4, betas=(0.5, 0.999))),
    segmenter=dict(optimizer=dict(type='Adam', lr=5e-4, betas=(0.5, 0.999))))
