# segmentation_gland_phantom.py with U-Net, DeepLabV3+ and FPN of segmentation-models-pytorch (pip install
# segmentation-models-pytorch), ResNet-18 encoders from random weights, in place of the other methods.
_base_ = 'segmentation_gland_phantom.py'
_one_scale = dict(model=dict(scales=[dict(size=64, batch_size=4, iters=300)]))
methods = {
    '_delete_': True,
    'm-FCDenseNet': dict(config='../pyramid_gan/fc_densenet_phantom.py', options=_one_scale),
    'U-Net, ResNet-18': dict(config='../pyramid_gan/unet_phantom.py', options=_one_scale),
    'DeepLabV3+, ResNet-18': dict(
        config='../pyramid_gan/deeplabv3plus_phantom.py', options=_one_scale),
    'FPN, ResNet-18': dict(config='../pyramid_gan/fpn_phantom.py', options=_one_scale),
}
baseline = None
