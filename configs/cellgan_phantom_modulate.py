# CellGAN on the phantom set with SGC modules before the last resolution, where sgc_fusion decides whether
# they reach the image at all (docs/cellgan.md): 64 px have only the last of the paper's pairs, 8->64.
_base_ = 'cellgan_phantom.py'
model = dict(generator=dict(sgc_fusion='modulate', skips=[(4, 16), (8, 32), (8, 64)]))
