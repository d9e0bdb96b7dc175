# As phantom_fd.py for tiles of GlaS, with configs/classifiers/resnet18_glas_tiles.py. The real tiles
# are those trained on: the three patients of the validation set differ from the others by more than
# the grades do, and a distance to them would evaluate patients.
_base_ = 'phantom_fd.py'
val_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_GLAS_TILES_ROOT:data/glas_tiles}}',
        split='train',
        metainfo=dict(classes=['benign', 'malignant'])))
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(
            type='ClassDistances',
            extractor=dict(
                type='ClassifierFeatures',
                config='{{fileDirname}}/../../classifiers/resnet18_glas_tiles.py',
                checkpoint='{{$CELLGAN_CLASSIFIER:work_dirs/resnet18_glas_tiles}}'),
            fake_nums='match',
            options=dict(interval='never', few_images=30)),
    ])
