# Baseline "m-FCDenseNet + pyramid" on the gland phantom: no synthetic images.
_base_ = 'pyramid_phantom.py'
model = dict(synthetic_weight=0)
