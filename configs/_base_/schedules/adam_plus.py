# Adam for CellGAN-plus: one learning rate for both networks. It falls to a tenth over the last two fifths.
_base_ = 'adam_100k.py'
train_cfg = dict(max_iters=20_000)
_adam = dict(lr=5e-4, betas=(0.0, 0.99))
optim_wrapper = dict(generator=dict(optimizer=_adam), discriminator=dict(optimizer=_adam))
param_scheduler = [
    dict(type='LinearLR', start_factor=1.0, end_factor=0.1, by_epoch=False, begin=12_000,
         end=20_000)
]
