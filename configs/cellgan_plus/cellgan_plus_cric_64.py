# CellGAN-plus on CRIC Cervix patches at 64 px, for hours of one core: the training fields of the
# manifest that tools/dataset_converters/cric.py writes. Evaluated during training with the data set's own
# classifier (configs/classifiers/resnet18_cric_64.py, CELLGAN_CLASSIFIER). Its distance to a dozen images of ASC-H
# sways the mean: look at the sheets before you take the checkpoint kept as best (weights/cellgan_plus_cric_64.md).
_base_ = ['_cellgan_plus_64.py', '../_base_/evaluation/cric_64_fd.py']
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
        extra_classes='skip'))  # SCC, which the paper does not have
# With translation alone, the discriminator has memorised a few hundred images after 10,000 iterations.
model = dict(
    augment=dict(
        type='AdaptiveAugment',
        policy=['color', 'translation', 'cutout'],
        # Of pairs of images: 0 where the discriminator is at chance. With 0.3, its loss stays at 0.62.
        target=0.3,
        # 3,125 iterations of 16.
        ramp_images=50_000))
