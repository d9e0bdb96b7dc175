# Segmentation with few labels on GlaS at an eighth of its size (tiles of 512 px resized to 64 px), small
# networks, 20 % of the masks, minutes per method on one CPU core. Data: CELLGAN_GLAS_ROOT.
#   python tools/segmentation_benchmark.py configs/benchmarks/segmentation_glas_64.py --jobs 2
title = 'GlaS at 64 px, test A'
data = dict(
    data_root='{{$CELLGAN_GLAS_ROOT:data/glas}}', classes=['stroma', 'gland'], instances='binary',
    train='train', test='testA', shared_groups='warn')
_config = '../pyramid_gan/pyramid_glas_64.py'
# The same steps at the finest size for every method, where the final segmenter trains; what the pyramid
# spends at coarser sizes comes on top. An epoch of the 102 tiles of 17 labelled images is 26 steps
# at 64 px, one of all 510 tiles 128: generated images train the segmenter after some 50 steps of a scale.
_scales = [
    dict(size=16, batch_size=16, iters=150),
    dict(size=32, batch_size=8, iters=200),
    dict(size=64, batch_size=4, iters=300),
]
methods = {
    'm-FCDenseNet': dict(
        config=_config,
        options=dict(
            model=dict(
                generator=None, discriminator=None, perceptual_loss=None,
                scales=_scales[-1:]))),
    'm-FCDenseNet + pyramid': dict(
        config=_config, options=dict(model=dict(scales=_scales, synthetic_weight=0))),
    'm-FCDenseNet + pyramid, cross-entropy only': dict(
        config=_config,
        options=dict(
            model=dict(
                scales=_scales, generator=None, discriminator=None, perceptual_loss=None))),
    '+ synthetic (Algorithm 2)': dict(
        config=_config, options=dict(model=dict(scales=_scales, synthetic_start=2))),
    'semi-supervised (Algorithm 3)': dict(
        config=_config, unlabelled=True, full_config=_config,
        options=dict(
            model=dict(
                scales=_scales, synthetic_start=0.4, semi_supervised=True, pseudo_probability=0.1,
                pseudo_start=0.2),
            train_dataloader=dict(
                sampler=dict(
                    _delete_=True, type='LabelledBatchSampler', labelled=2, unlabelled=2))),
        full_options=dict(model=dict(scales=_scales, synthetic_start=0.4))),
}
ratios = [0.2]
seeds = [0]
metrics = ['mIoU', 'NLL', 'ECE', 'object_dice', 'object_f1', 'object_hausdorff']
baseline = ['m-FCDenseNet', 'm-FCDenseNet + pyramid', '+ synthetic (Algorithm 2)']
show_truth = False  # annotations of GlaS are not ours to show
keep_weights = True
notes = ['Small networks at 64 px in place of 512 px: not the numbers of Li et al. 2022']
