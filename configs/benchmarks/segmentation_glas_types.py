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
# Copied from Table 4 of the paper.
_shares = ('0.2', '0.4', '0.6', '0.8')
published = dict(
    _delete_=True,
    source='Li et al. 2022, Table 4',
    tables=dict(
        mIoU={
            name: dict(zip(_shares, values))
            for name, values in {
                'm-FCDenseNet': (0.203, 0.254, 0.262, 0.282),
                'm-FCDenseNet + pyramid': (0.216, 0.259, 0.289, 0.325),
                'Consistency-based': (0.228, 0.267, 0.310, 0.331),
                'Consistency-based (transductive)': (0.256, 0.281, 0.339, 0.349),
                'Ours': (0.242, 0.287, 0.301, 0.336),
                'Ours (transductive)': (0.325, 0.341, 0.386, 0.375),
            }.items()
        }))
