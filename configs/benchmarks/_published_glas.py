# The numbers of Li et al. 2022 for GlaS, copied from the paper: Table 2 (all masks), Table 4 (binary, mIoU),
# Tables 5 to 7. They are shown below our own rows and marked as published. Order as in Table 2: all test
# images, part A, part B.
_100_percent = {
    'm-FCDenseNet': ((0.748, 0.731, 0.792), (0.676, 0.662, 0.710), (123.39, 122.4, 125.9)),
    'm-FCDenseNet + pyramid': ((0.870, 0.894, 0.822), (0.860, 0.878, 0.776), (65.7, 54.1, 108.3)),
    'Ours': ((0.874, 0.895, 0.825), (0.866, 0.890, 0.803), (61.85, 50.3, 100.4)),
    'FCN-8 (Long et al. 2015)': ((0.781, 0.795, 0.767), (0.763, 0.783, 0.692), (124.2, 105.0, 147.3)),
    'DeepLab (Chen et al. 2017)': ((0.833, 0.859, 0.804), (0.813, 0.862, 0.764), (96.2, 65.7, 124.9)),
    'Seg-Net (Badrinarayanan et al. 2017)': (
        (0.838, 0.864, 0.807), (0.806, 0.858, 0.753), (92.6, 62.6, 118.5)),
    'U-Net (Ronneberger et al. 2015)': (
        (0.868, 0.884, 0.819), (0.841, 0.865, 0.768), (69.6, 55.6, 111)),
    'DCAN (Chen et al. 2016)': ((0.868, 0.897, 0.781), (0.863, 0.912, 0.716), (74.2, 45.4, 160.3)),
    'Suggestive Annotation (Yang et al. 2017)': (
        (None, 0.904, 0.858), (None, 0.921, 0.855), (None, 47.736, 96.976)),
    'Xu et al. 2018': ((None, 0.914, 0.859), (None, 0.930, 0.862), (None, 41.783, 97.390)),
    'Graham et al. 2019': ((0.902, 0.919, 0.849), (0.896, 0.920, 0.824), (54.7, 41.0, 95.7)),
    'Yan et al. 2020': ((None, 0.914, 0.832), (None, 0.927, 0.851), (None, 40.88, 112.42)),
}
_shares = ('0.2', '0.4', '0.6', '0.8', '1')
_by_share = dict(
    mIoU={
        'm-FCDenseNet': (0.674, 0.686, 0.701, 0.750),
        'm-FCDenseNet + pyramid': (0.717, 0.730, 0.767, 0.806),
        'Consistency-based': (0.731, 0.759, 0.796, 0.801),
        'Consistency-based (transductive)': (0.737, 0.777, 0.811, 0.821),
        'Ours': (0.793, 0.799, 0.817, 0.823),
        'Ours (transductive)': (0.817, 0.824, 0.845, 0.830),
    },
    object_dice={
        'm-FCDenseNet': (0.643, 0.661, 0.675, 0.681, 0.748),
        'm-FCDenseNet + pyramid': (0.651, 0.655, 0.789, 0.818, 0.870),
        'Ours': (0.678, 0.699, 0.833, 0.837, 0.874),
        'Ours (transductive)': (0.703, 0.725, 0.815, 0.840, 0.886),
    },
    object_f1={
        'm-FCDenseNet': (0.572, 0.586, 0.604, 0.616, 0.676),
        'm-FCDenseNet + pyramid': (0.570, 0.601, 0.716, 0.825, 0.860),
        'Ours': (0.596, 0.593, 0.843, 0.839, 0.866),
        'Ours (transductive)': (0.624, 0.696, 0.776, 0.844, 0.894),
    },
    object_hausdorff={
        'm-FCDenseNet': (160.30, 150.35, 143.98, 130.34, 123.39),
        'm-FCDenseNet + pyramid': (152.14, 133.93, 116.35, 95.39, 65.70),
        'Ours': (139.87, 122.66, 115.28, 105.44, 61.85),
        'Ours (transductive)': (125.69, 113.79, 92.06, 70.07, 62.21),
    })
_columns = [
    f'{metric}/{part}'
    for metric in ('object_dice', 'object_f1', 'object_hausdorff') for part in ('all', 'A', 'B')
]
published = dict(
    source='Li et al. 2022, Tables 2 and 4 to 7',
    tables=dict(
        glas_metrics={
            name: dict(zip(_columns, sum(parts, ()))) for name, parts in _100_percent.items()
        },
        **{
            metric: {name: dict(zip(_shares, values)) for name, values in rows.items()}
            for metric, rows in _by_share.items()
        }))
