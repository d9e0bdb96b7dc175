# FID per class while training, the authors' protocol (Sec. 3.2): as many generated images of each
# class as there are real ones. Weights: CELLGAN_INCEPTION_WEIGHTS or torch hub's cache.
# For the numbers printed in the paper: tct_fid_authors.py.
_base_ = 'real_images.py'
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(
            type='ClassDistances',
            extractor=dict(type='InceptionFeatures'),
            fake_nums='match'),
    ])
