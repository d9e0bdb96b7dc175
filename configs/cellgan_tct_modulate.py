# As cellgan_tct.py, but all three SGC modules affect the image (docs/cellgan.md says why).
_base_ = 'cellgan_tct.py'
model = dict(generator=dict(sgc_fusion='modulate'))
