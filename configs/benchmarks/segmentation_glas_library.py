# Table 2 with current baselines: the rows of the paper on all masks, and U-Net, DeepLabV3+ and FPN of
# segmentation-models-pytorch (pip install segmentation-models-pytorch) trained here on the same tiles for
# the same steps at 512 px. Their encoders start from random weights, or from CELLGAN_RESNET34.
#   python tools/segmentation_benchmark.py configs/benchmarks/segmentation_glas_library.py --seeds 0 1 2
_base_ = 'segmentation_glas.py'
methods = {
    '_delete_': True,
    'm-FCDenseNet': dict(config='../pyramid_gan/fc_densenet_glas.py'),
    'm-FCDenseNet + pyramid': dict(config='../pyramid_gan/pyramid_glas_no_synthetic.py'),
    'Ours': dict(config='../pyramid_gan/pyramid_glas.py'),
    'U-Net, ResNet-34': dict(config='../pyramid_gan/unet_glas.py'),
    'DeepLabV3+, ResNet-34': dict(config='../pyramid_gan/deeplabv3plus_glas.py'),
    'FPN, ResNet-34': dict(config='../pyramid_gan/fpn_glas.py'),
}
ratios = [1.0]
