# Labelled patches at 256 px, 64 per step (Sec. 3.1), flipped both ways (the authors' program).
# Classes: those of the data folder (--data DIR, CELLGAN_DATA_ROOT), without one the paper's five.
dataset_type = 'CellPatchDataset'
data_root = '{{$CELLGAN_DATA_ROOT:data/tct}}'

train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='ResumableInfiniteSampler', shuffle=True),
    collate_fn=dict(type='stack_cell_batch'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='',
        metainfo=dict(classes=None),
        pipeline=[
            dict(type='FitCellPatch', out_size=256),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
            dict(type='PackCellInputs'),
        ]))
