# Table 2, Model ii: Model iii without the class mapping network (a linear class embedding).
_base_ = 'model_iii.py'
model = dict(generator=dict(mapping_depth=0))
