# As phantom_fd.py for tiles of GlaS, with configs/classifiers/resnet18_glas_tiles.py. The real tiles
# are the training tiles: the three validation patients differ from the others more than the grades
# differ, so a distance to them would measure patients.
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
