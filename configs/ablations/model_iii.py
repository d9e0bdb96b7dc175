# Table 2, Model iii: FastGAN's SLE in place of SGC.
_base_ = '../cellgan_tct.py'
model = dict(generator=dict(skip_type='sle'))
