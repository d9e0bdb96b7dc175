# FID per class during training, by the authors' protocol (Sec. 3.2): equal numbers of generated and
# real images of each class. Weights: CELLGAN_INCEPTION_WEIGHTS or torch hub's cache.
# To compare with the numbers printed in the paper, use tct_fid_authors.py.
_base_ = 'real_images.py'
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(
            type='ClassDistances',
            extractor=dict(type='InceptionFeatures'),
            fake_nums='match'),
    ])
