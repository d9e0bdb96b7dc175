# BigGAN on CRIC Cervix patches, 256 px, few images, with differentiable augmentation: the training
# fields of the manifest that tools/dataset_converters/cric.py writes (see cellgan_cric.py).
_base_ = 'biggan_tct_diffaug.py'
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
        ann_file='manifest.csv',
        split='train',
        extra_classes='skip',  # SCC, which the paper does not have
        cache='ram'))
