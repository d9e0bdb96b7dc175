# Table 4, multi-category: stroma and five types of glands, 20 to 80 % of the masks.
_base_ = 'segmentation_glas.py'
title = 'GlaS, six categories'
data = dict(
    classes=[
        'stroma', 'healthy', 'adenomatous', 'moderately differentiated',
        'moderately-to-poorly differentiated', 'poorly differentiated'
    ],
    instances='label',
    label_column='category')
ratios = [0.2, 0.4, 0.6, 0.8]
metrics = ['mIoU']
baseline = None
options = dict(model=dict(num_classes=6))
