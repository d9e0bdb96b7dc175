# The arithmetic of the authors' program, to compare with the numbers printed in the paper only:
# images in [0, 1] into Inception, training images as real ones, the last partial batch of each
# class dropped on both sides. The numbers bear another name, and are no FID.
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
