# As phantom_fd.py for the CRIC patches at 64 px, with configs/classifiers/resnet18_cric_64.py.
# The real images are the training images (the authors' protocol); with enough held-out images of
# every class set val_dataloader.dataset.split=val. For class folders without a manifest add
# --cfg-options val_dataloader.dataset.ann_file= val_dataloader.dataset.split=None
_base_ = 'phantom_fd.py'
val_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
        ann_file='manifest.csv',
        split='train',
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
