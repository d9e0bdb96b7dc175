# CellGAN on the phantom set with more SGC modules than the paper's rule gives at 64 px (only 8->64). For
# these, sgc_fusion decides whether they affect the image at all (docs/cellgan.md).
_base_ = 'cellgan_phantom.py'
model = dict(generator=dict(sgc_fusion='modulate', skips=[(4, 16), (8, 32), (8, 64)]))
