# Table 2, the other reading of "-" for Model iii: without SGC, and nothing in its place.
_base_ = '../cellgan_tct.py'
model = dict(generator=dict(skip_type=None))
