# resnet18_tissue_phantom.py trained with the dropout that selection uses (HistoGAN, Sec. 1 and 4.2.2).
_base_ = 'resnet18_tissue_phantom.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmagic.MCDropoutBackbone',
        p=0.5,
        backbone=dict(
            type='ResNet', depth=18, num_stages=4, out_indices=(3,), style='pytorch',
            stem_channels=16, base_channels=16)))
