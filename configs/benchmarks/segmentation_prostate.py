# Table 3: four classes of prostate tissue at 512 px, all masks, five folds (by patient if the manifest has
# patients).
# Data: CELLGAN_PROSTATE_ROOT, image + mask pairs with a manifest.
#   python tools/segmentation_benchmark.py configs/benchmarks/segmentation_prostate.py --run-folds 0
_base_ = '_published_prostate.py'
title = 'prostate'
data = dict(
    data_root='{{$CELLGAN_PROSTATE_ROOT:data/prostate}}',
    classes=['stroma', 'benign', 'low grade', 'high grade'], train='train')
folds = 5
methods = {
    'm-FCDenseNet': dict(
        config='../pyramid_gan/pyramid_prostate_512.py',
        options=dict(
            model=dict(
                generator=None, discriminator=None, perceptual_loss=None,
                scales=[dict(size=512, batch_size=4, epochs=200)]))),
    'Ours': dict(config='../pyramid_gan/pyramid_prostate_512.py'),
}
ratios = [1.0]
metrics = ['mIoU', 'OPA', 'SMA']
