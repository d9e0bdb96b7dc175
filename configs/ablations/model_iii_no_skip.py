# Table 2, Model iii as the paper's "-" may mean it: without SGC, and nothing in its place.
_base_ = '../cellgan_tct.py'
model = dict(generator=dict(skip_type=None))
