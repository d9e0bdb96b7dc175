# FID per class while training, the authors' protocol (Sec. 3.2): as many generated images of each
# class as there are real ones. Weights: CELLGAN_INCEPTION_WEIGHTS or torch hub's cache.
# For the numbers printed in the paper: tct_fid_authors.py.
val_cfg = dict(type='MultiValLoop')
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CellPatchDataset',
        data_root='{{$CELLGAN_DATA_ROOT:data/tct}}',
        ann_file='',
        metainfo=dict(classes=['NILM', 'ASC-US', 'LSIL', 'ASC-H', 'HSIL']),
        test_mode=True,
        pipeline=[
            dict(type='FitCellPatch', out_size=256),
            dict(type='PackCellInputs'),
        ]))
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(
            type='ClassDistances',
            extractor=dict(type='InceptionFeatures'),
            fake_nums='match'),
    ])
