# CellGAN on CRIC Cervix patches, 256 px, few images: the training fields of the manifest that
# tools/dataset_converters/cric.py writes. For class folders without a manifest add
# --cfg-options train_dataloader.dataset.ann_file= train_dataloader.dataset.split=None
_base_ = 'cellgan_tct.py'
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
        ann_file='manifest.csv',
        split='train',
        extra_classes='skip',  # SCC, which the paper does not have
        cache='ram'))
