# Baseline "m-FCDenseNet": the segmenter alone at one scale (Table 2, row 1).
_base_ = 'pyramid_glas.py'
model = dict(
    generator=None,
    discriminator=None,
    perceptual_loss=None,
    scales=[dict(size=512, batch_size=4, epochs=200)])
