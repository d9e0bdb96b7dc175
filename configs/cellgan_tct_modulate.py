# As cellgan_tct.py, with all three SGC modules reaching the image (docs/cellgan.md tells why).
_base_ = 'cellgan_tct.py'
model = dict(generator=dict(sgc_fusion='modulate'))
