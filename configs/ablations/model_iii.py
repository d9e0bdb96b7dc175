# Table 2, Model iii: without SGC; FastGAN's SLE stands in its place.
_base_ = '../cellgan_tct.py'
model = dict(generator=dict(skip_type='sle'))
