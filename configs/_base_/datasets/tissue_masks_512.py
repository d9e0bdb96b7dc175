# Image + mask pairs: 512 px tiles for training (Sec. 4.1.3), whole images for testing. Each scale
# has its own batch size, see model.scales.
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
    collate_fn=dict(type='stack_tissue_batch'),
    dataset=dict(
        type='TissueMaskDataset',
        ann_file='manifest.csv',
        split='train',
        tile=512,
        min_overlap=256,  # about the 500 tiles of Sec. 4.1.3
        small_images='mirror',
        pipeline=[
            dict(type='RandomTissueFlip'),
            dict(type='RandomTissueColor'),
            dict(type='PackTissueInputs'),
        ]))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='TissueMaskDataset',
        ann_file='manifest.csv',
        with_instances=True,
        test_mode=True,
        pipeline=[dict(type='PackTissueInputs')]))
val_cfg = dict(type='mmengine.ValLoop')
val_evaluator = dict(type='mmengine.Evaluator', metrics=[dict(type='SegmentationScores')])
test_dataloader = val_dataloader
test_cfg = dict(type='mmengine.TestLoop')
test_evaluator = val_evaluator
