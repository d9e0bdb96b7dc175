# Baseline "m-FCDenseNet" on the gland phantom: the segmenter alone at one scale.
_base_ = 'pyramid_phantom.py'
model = dict(
    generator=None,
    discriminator=None,
    perceptual_loss=None,
    scales=[dict(size=64, batch_size=4, iters=600)])  # the steps of the pyramid's finest scale
