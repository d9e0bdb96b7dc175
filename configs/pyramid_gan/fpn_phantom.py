# Baseline: FPN (Kirillov et al. 2019) of segmentation-models-pytorch with a ResNet-18 encoder from random
# weights, at one scale on the gland phantom: pip install segmentation-models-pytorch.
_base_ = 'fc_densenet_phantom.py'
model = dict(
    segmenter=dict(
        _delete_=True, type='LibrarySegmenter', arch='fpn', encoder='resnet18'))
