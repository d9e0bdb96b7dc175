# Segmentation with few labels on the gland phantom: 256 px images resized to 64 px, small networks, minutes
# per method on one CPU core. First make the data:
#   python tools/dataset_converters/gland_phantom.py --out data/gland_phantom
#   python tools/segmentation_benchmark.py configs/benchmarks/segmentation_gland_phantom.py --jobs 2
# Data: CELLGAN_GLAND_ROOT.
title = 'gland phantom at 64 px'
data = dict(
    data_root='{{$CELLGAN_GLAND_ROOT:data/gland_phantom}}', classes=['stroma', 'gland'],
    instances='binary', train='train', test='test')
_pyramid = '../pyramid_gan/pyramid_phantom.py'
# Half the steps of these configs. All methods have the same steps at the finest size, where the final
# segmenter trains; what the pyramid spends at coarser sizes comes on top. An epoch of 40 labelled images
# is 10 steps, one of all 200 is 50: generated images train the segmenter after 50 steps of a scale.
_scales = [
    dict(size=16, batch_size=16, iters=150),
    dict(size=32, batch_size=8, iters=200),
    dict(size=64, batch_size=4, iters=300),
]
_one_scale = dict(model=dict(scales=_scales[-1:]))
methods = {
    'm-FCDenseNet': dict(
        config='../pyramid_gan/fc_densenet_phantom.py', options=_one_scale),
    'm-FCDenseNet + pyramid': dict(
        config='../pyramid_gan/pyramid_phantom_no_synthetic.py',
        options=dict(model=dict(scales=_scales))),
    # The pyramid of segmenters alone: what the adversarial term adds or costs is the next row less this.
    'm-FCDenseNet + pyramid, cross-entropy only': dict(
        config='../pyramid_gan/pyramid_phantom_no_synthetic.py',
        options=dict(
            model=dict(
                scales=_scales, generator=None, discriminator=None, perceptual_loss=None))),
    '+ synthetic (Algorithm 2)': dict(
        config=_pyramid, options=dict(model=dict(scales=_scales, synthetic_start=5))),
    'semi-supervised (Algorithm 3)': dict(
        config='../pyramid_gan/pyramid_phantom_semi.py', unlabelled=True, full_config=_pyramid,
        options=dict(model=dict(scales=_scales, synthetic_start=1)),
        full_options=dict(model=dict(scales=_scales, synthetic_start=1))),
    'consistency-based': dict(
        config='../pyramid_gan/mean_teacher_phantom.py', unlabelled=True, options=_one_scale),
}
ratios = [0.2]
seeds = [0]
metrics = ['mIoU', 'NLL', 'ECE', 'object_dice', 'object_f1', 'object_hausdorff']
baseline = ['m-FCDenseNet', 'm-FCDenseNet + pyramid', '+ synthetic (Algorithm 2)']
keep_weights = True
