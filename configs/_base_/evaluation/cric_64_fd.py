# As phantom_fd.py for the CRIC patches at 64 px, with configs/classifiers/resnet18_cric_64.py.
# The real images are those trained on (the authors' protocol): CRIC has too few to hold some out.
_base_ = 'phantom_fd.py'
val_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
        ann_file='',
        split=None,
        extra_classes='skip'))
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(
            type='ClassDistances',
            extractor=dict(
                type='ClassifierFeatures',
                config='{{fileDirname}}/../../classifiers/resnet18_cric_64.py',
                checkpoint='{{$CELLGAN_CLASSIFIER:work_dirs/resnet18_cric_64}}'),
            fake_nums='match'),
    ])
