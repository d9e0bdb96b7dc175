# How tools/study.py evaluates generators: distances per class to held-out images in the features of the data
# set's own classifier (HistoGAN, Sec. 3.1.2), and the share of copies of training images.
# CELLGAN_CLASSIFIER: work directory of the classifier.
_base_ = '../_base_/evaluation/real_images.py'
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    dataset=dict(
        pipeline=[dict(type='FitCellPatch', out_size='auto'), dict(type='PackCellInputs')]))
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(
            type='ClassDistances',
            extractor=dict(
                type='ClassifierFeatures',
                config='{{fileDirname}}/classifier.py',
                checkpoint='{{$CELLGAN_CLASSIFIER:work_dirs/classifier}}'),
            fake_nums='match',
            distances=['fd', 'kid', 'prdc'],
            options=dict(interval='never', few_images=30)),
    ])
