# The arithmetic of the authors' program, only for comparison with the numbers in the paper: Inception
# gets images in [0, 1], the real images are the training images, and the last partial batch of each
# class is dropped on both sides. These numbers are not FID and have another name.
_base_ = 'tct_fid.py'
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(
            type='ClassDistances',
            extractor=dict(type='InceptionFeatures'),
            fake_nums='match',
            batch_size=64,
            authors_arithmetic=True),
    ])
