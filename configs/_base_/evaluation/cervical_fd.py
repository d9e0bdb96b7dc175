# Frechet distance with the features of the task's own ResNet-34 (HistoGAN, Sec. 3.1.2), with equal
# numbers of generated and real images. The real images are the training images: the validation set
# has only 41 CIN1 images, too few for a distance of 512 features.
# Classifier: configs/classifiers/resnet34_cervical.py; CELLGAN_CLASSIFIER: its work directory.
val_cfg = dict(type='MultiValLoop')
val_dataloader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CellPatchDataset',
        data_root='{{$CELLGAN_CERVICAL_ROOT:data/cervical}}',
        ann_file='manifest.csv',
        split='train',
        metainfo=dict(classes=['Normal', 'CIN1', 'CIN2', 'CIN3']),
        test_mode=True,
        pipeline=[
            dict(type='FitCellPatch', out_size=(256, 128)),
            dict(type='PackCellInputs'),
        ]))
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(
            type='ClassDistances',
            extractor=dict(
                type='ClassifierFeatures',
                config='{{fileDirname}}/../../classifiers/resnet34_cervical.py',
                checkpoint='{{$CELLGAN_CLASSIFIER:work_dirs/resnet34_cervical}}'),
            fake_nums='match'),
    ])
