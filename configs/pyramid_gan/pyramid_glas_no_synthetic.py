# Baseline "m-FCDenseNet + pyramid": all of Algorithm 2 but the synthetic images (Table 2, row 2).
_base_ = 'pyramid_glas.py'
model = dict(synthetic_weight=0)
