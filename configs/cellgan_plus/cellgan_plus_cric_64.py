# CellGAN-plus on CRIC Cervix patches at 64 px, for hours of one core: the training fields of the
# manifest that tools/dataset_converters/cric.py writes. Evaluated during training with the data set's own
# classifier (configs/classifiers/resnet18_cric_64.py, CELLGAN_CLASSIFIER). With a few hundred images, the
# discriminator has memorised them after about 10,000 iterations: use the weights kept as best.
_base_ = ['_cellgan_plus_64.py', '../_base_/evaluation/cric_64_fd.py']
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
        extra_classes='skip'))  # SCC, which the paper does not have
