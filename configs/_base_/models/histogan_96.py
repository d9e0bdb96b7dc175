# HistoGAN for 96x96 in two stages, two classes (Sec. 4.2.1).
_base_ = 'histogan_256x128.py'
model = dict(
    num_classes=2,
    generator=dict(out_size=96, num_stages=2),
    discriminator=dict(in_size=96, num_stages=2))
