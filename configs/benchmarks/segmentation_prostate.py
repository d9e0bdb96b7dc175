# Table 3: four classes of prostate tissue, all masks, five folds (by patient where the manifest has it).
# Where image + mask pairs with a manifest lie: CELLGAN_PROSTATE_ROOT.
#   python tools/segmentation_benchmark.py configs/benchmarks/segmentation_prostate.py --run-folds 0
title = 'prostate'
data = dict(
    data_root='{{$CELLGAN_PROSTATE_ROOT:data/prostate}}',
    classes=['stroma', 'benign', 'low grade', 'high grade'], train='train')
folds = 5
methods = {
    'm-FCDenseNet': dict(
        config='../pyramid_gan/pyramid_prostate.py',
        options=dict(
            model=dict(
                generator=None, discriminator=None, perceptual_loss=None,
                scales=[dict(size=1024, batch_size=3, epochs=200, checkpoint=True)]))),
    'Ours': dict(config='../pyramid_gan/pyramid_prostate.py'),
}
ratios = [1.0]
metrics = ['mIoU', 'OPA', 'SMA']
