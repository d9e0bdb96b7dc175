# resnet34_cervical.py trained with the dropout that selection uses (HistoGAN, Sec. 1: a feature extractor
# "pre-trained with Monte Carlo dropout"; Sec. 4.2.2: rate 0.5 before the last residual block). The baseline
# classifier of Sec. 4.3 is trained without it.
_base_ = 'resnet34_cervical.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmagic.MCDropoutBackbone',
        p=0.5,
        backbone=dict(
            type='ResNet', depth=34, num_stages=4, out_indices=(3,), style='pytorch')))
