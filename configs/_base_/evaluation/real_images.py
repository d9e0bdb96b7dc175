# The real images that generated ones are compared with, class by class, and the loop that does it.
# data_root is that of the TCT patches; other sets replace it. Classes: as those trained on.
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
