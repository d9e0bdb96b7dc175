# Labelled tissue patches at 64x32 in RAM, 16 per step, no loader processes: for a CPU.
_base_ = 'cell_patches_64.py'
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_TISSUE_ROOT:data/tissue_phantom}}',
        ann_file='manifest.csv',
        split='train',
        metainfo=dict(classes=['Normal', 'CIN1', 'CIN2', 'CIN3']),
        pipeline=[
            dict(type='FitCellPatch', out_size=(64, 32)),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.0),
            dict(type='PackCellInputs'),
        ]))
