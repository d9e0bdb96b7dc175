# As tct_fid.py with the features of the data set's own classifier (HistoGAN, Sec. 3.1.2).
# Classifier: configs/classifiers/resnet34_tct.py; CELLGAN_CLASSIFIER: its work directory.
_base_ = 'tct_fid.py'
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(
            type='ClassDistances',
            extractor=dict(
                type='ClassifierFeatures',
                config='{{fileDirname}}/../../classifiers/resnet34_tct.py',
                checkpoint='{{$CELLGAN_CLASSIFIER:work_dirs/resnet34_tct}}'),
            fake_nums='match'),
    ])
