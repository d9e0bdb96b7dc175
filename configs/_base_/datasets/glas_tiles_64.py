# Tiles of GlaS by grade at 64 px in RAM, 16 per step, for a CPU: the output of
# tools/dataset_converters/glas_tiles.py.
_base_ = 'cell_patches_64.py'
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_GLAS_TILES_ROOT:data/glas_tiles}}',
        ann_file='manifest.csv',
        split='train',
        metainfo=dict(classes=['benign', 'malignant'])))
