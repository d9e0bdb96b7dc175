# The DenseNet of Table 3 (Sec. 3.3): DenseNet-121, otherwise as benchmark_resnet34.py. ImageNet weights:
# CELLGAN_IMAGENET_DENSENET121, a checkpoint of MMPretrain's densenet121.
_base_ = 'benchmark_resnet34.py'
pretrained = '{{$CELLGAN_IMAGENET_DENSENET121:none}}'

model = dict(
    backbone=dict(
        _delete_=True,
        type='DenseNet',
        arch='121',
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone')
        if pretrained != 'none' else None),
    head=dict(in_channels=1024))
