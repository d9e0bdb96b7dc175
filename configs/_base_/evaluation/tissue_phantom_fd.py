# As phantom_fd.py for the tissue phantom at 64x32, with configs/classifiers/resnet18_tissue_phantom.py.
_base_ = 'phantom_fd.py'
val_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_TISSUE_ROOT:data/tissue_phantom}}',
        metainfo=dict(classes=['Normal', 'CIN1', 'CIN2', 'CIN3']),
        pipeline=[
            dict(type='FitCellPatch', out_size=(64, 32)),
            dict(type='PackCellInputs'),
        ]))
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(
            type='ClassDistances',
            extractor=dict(
                type='ClassifierFeatures',
                config='{{fileDirname}}/../../classifiers/resnet18_tissue_phantom.py',
                checkpoint='{{$CELLGAN_CLASSIFIER:work_dirs/resnet18_tissue_phantom}}'),
            fake_nums='match',
            options=dict(interval='never', few_images=30)),
    ])
