# PatchCamelyon at 96 px, 256 per step (HistoGAN, Sec. 4.2.1): the output of
# tools/dataset_converters/pcam.py. Flipped both ways, because a lymph node has no upper side.
_base_ = 'cell_patches_256.py'
train_dataloader = dict(
    batch_size=256,
    dataset=dict(
        data_root='{{$CELLGAN_PCAM_ROOT:data/pcam}}',
        ann_file='manifest.csv',
        split='train',
        metainfo=dict(classes=['normal', 'tumor']),
        pipeline=[
            dict(type='FitCellPatch', out_size=96),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
            dict(type='PackCellInputs'),
        ]))
