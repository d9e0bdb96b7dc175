# Frechet distance per class during training, with the phantom's own classifier (HistoGAN, Sec.
# 3.1.2) on held-out images. Keeps the checkpoint at the minimum of the smoothed curve (Eq. (5)).
# Classifier: configs/classifiers/resnet18_phantom.py; CELLGAN_CLASSIFIER: its work directory or a
# checkpoint.
_base_ = 'real_images.py'
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    dataset=dict(
        data_root='{{$CELLGAN_PHANTOM_ROOT:data/phantom}}',
        ann_file='manifest.csv',
        split='val',
        pipeline=[
            dict(type='FitCellPatch', out_size=64),
            dict(type='PackCellInputs'),
        ]))
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(
            type='ClassDistances',
            extractor=dict(
                type='ClassifierFeatures',
                config='{{fileDirname}}/../../classifiers/resnet18_phantom.py',
                checkpoint='{{$CELLGAN_CLASSIFIER:work_dirs/resnet18_phantom}}'),
            fake_nums='match',
            options=dict(interval='never', few_images=30)),
    ])
