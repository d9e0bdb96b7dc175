# Baseline "m-FCDenseNet + pyramid": Algorithm 2 without synthetic images (Table 2, row 2).
_base_ = 'pyramid_glas.py'
model = dict(synthetic_weight=0)
