# CellGAN on CRIC Cervix patches (tools/dataset_converters/cric.py), 256 px, few images.
_base_ = 'cellgan_tct.py'
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
        extra_classes='skip',  # SCC, which the paper does not have
        cache='ram'))
