# The baseline of HistoGAN's Table 1 (Sec. 4.3.3): ResNet-34 at 256x128 without augmentation, which the
# rows of configs/benchmarks/histogan_table1_cervical.py add. The paper does not give optimizer, batch, length
# and initial weights of the classifier: these are as in resnet34_tct.py, with random initial weights. For
# ImageNet weights set CELLGAN_IMAGENET_RESNET34, a checkpoint of MMPretrain's resnet34.
_base_ = 'resnet34_cervical.py'
size = (256, 128)
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
