# Baseline: FPN (Kirillov et al. 2019) of segmentation-models-pytorch with a ResNet-34 encoder, at one
# scale: pip install segmentation-models-pytorch. The encoder starts from random weights, or from
# CELLGAN_RESNET34, a file of torchvision's (ImageNet).
_base_ = 'fc_densenet_glas.py'
_weights = '{{$CELLGAN_RESNET34:none}}'
model = dict(
    segmenter=dict(
        _delete_=True, type='LibrarySegmenter', arch='fpn', encoder='resnet34',
        encoder_checkpoint=None if _weights == 'none' else _weights))
