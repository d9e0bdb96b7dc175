# The baseline of HistoGAN's Table 2: as benchmark_resnet34_cervical.py for PatchCamelyon at 96 px.
_base_ = 'resnet34_pcam.py'
size = 96
pretrained = '{{$CELLGAN_IMAGENET_RESNET34:none}}'

model = dict(
    backbone=dict(
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone')
        if pretrained != 'none' else None),
    head=dict(cal_acc=True))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='mmpretrain.PackInputs'),
        ]))
