# As cervical_fd.py for PatchCamelyon, with configs/classifiers/resnet34_pcam.py.
_base_ = 'cervical_fd.py'
val_dataloader = dict(
    batch_size=256,
    dataset=dict(
        data_root='{{$CELLGAN_PCAM_ROOT:data/pcam}}',
        metainfo=dict(classes=['normal', 'tumor']),
        pipeline=[
            dict(type='FitCellPatch', out_size=96),
            dict(type='PackCellInputs'),
        ]))
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(
            type='ClassDistances',
            extractor=dict(
                type='ClassifierFeatures',
                config='{{fileDirname}}/../../classifiers/resnet34_pcam.py',
                checkpoint='{{$CELLGAN_CLASSIFIER:work_dirs/resnet34_pcam}}'),
            fake_nums='match'),
    ])
