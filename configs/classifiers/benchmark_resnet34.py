# The ResNet of Table 3 (Sec. 3.3): ResNet-34, SGD, learning rate 1e-4, batch 64, random flips. The
# benchmark sets the length of training and the data (configs/benchmarks/).
# The paper does not give: image size (here 256 px, that of the patches), momentum and weight decay (the
# usual 0.9 and 1e-4), a schedule (none), flip direction (both, as for CellGAN), and initial weights.
# At this learning rate ImageNet weights are best: CELLGAN_IMAGENET_RESNET34 names a checkpoint of
# MMPretrain's resnet34. Without it the initial weights are random; the benchmark's table says which.
_base_ = 'resnet34_tct.py'
size = 256
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
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
            dict(type='mmpretrain.PackInputs'),
        ]))
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='mmpretrain.PackInputs'),
        ]))
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=1e-4, momentum=0.9, weight_decay=1e-4))
param_scheduler = []
