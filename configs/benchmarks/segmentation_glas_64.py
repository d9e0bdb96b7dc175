# Segmentation with few labels on GlaS seen at an eighth of its size (tiles of 512 px at 64 px), small
# networks, 20 % of the masks: minutes per method on one CPU core. Where the data lies: CELLGAN_GLAS_ROOT.
#   python tools/segmentation_benchmark.py configs/benchmarks/segmentation_glas_64.py --jobs 2
title = 'GlaS at 64 px, test A'
data = dict(
    data_root='{{$CELLGAN_GLAS_ROOT:data/glas}}', classes=['stroma', 'gland'], instances='binary',
    train='train', test='testA', shared_groups='warn')
_config = '../pyramid_gan/pyramid_glas_64.py'
_single = dict(generator=None, discriminator=None, perceptual_loss=None)
_unlabelled = dict(
    train_dataloader=dict(
        sampler=dict(_delete_=True, type='LabelledBatchSampler', labelled=2, unlabelled=2)))
methods = {
    'm-FCDenseNet': dict(
        config=_config,
        options=dict(model=dict(_single, scales=[dict(size=64, batch_size=4, iters=1300)]))),
    'm-FCDenseNet + pyramid': dict(
        config=_config, options=dict(model=dict(synthetic_weight=0))),
    '+ synthetic (Algorithm 2)': dict(config=_config),
    'semi-supervised (Algorithm 3)': dict(
        config=_config, unlabelled=True, full_config=_config,
        options=dict(
            _unlabelled, model=dict(semi_supervised=True, pseudo_probability=0.1, pseudo_start=1))),
}
ratios = [0.2]
seeds = [0]
rule = dict(min_area=200, fill_holes=True)  # px of the full image; a gland has about 10000
baseline = ['m-FCDenseNet', 'm-FCDenseNet + pyramid', '+ synthetic (Algorithm 2)']
keep_weights = True
notes = ['Small networks at 64 px in place of 512 px: not the numbers of Li et al. 2022']
