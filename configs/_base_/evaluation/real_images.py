# The real images for the comparison with generated ones, per class, and the evaluation loop.
# data_root is that of the TCT patches; other data sets replace it. Classes: as in training.
val_cfg = dict(type='MultiValLoop')
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CellPatchDataset',
        data_root='{{$CELLGAN_DATA_ROOT:data/tct}}',
        ann_file='',
        metainfo=dict(classes=None),
        test_mode=True,
        pipeline=[
            dict(type='FitCellPatch', out_size=256),
            dict(type='PackCellInputs'),
        ]))
