# Table 3 on CRIC Cervix at 64 px, sized for two CPU cores and some hours: CellGAN is trained on each fold's
# training images, and all settings take equal steps. Data: CELLGAN_CRIC_ROOT with the manifest of
# tools/dataset_converters/cric.py, whose groups are the slide fields.
_base_ = 'cellgan_table3_phantom.py'
title = 'Data augmentation, CRIC Cervix at 64 px'
data = dict(
    data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}', split=None, extra_classes='skip')
generators = dict(_delete_=True, CellGAN=dict(config='../cellgan_cric_64.py'))
train_generators = True
per_class = 400
synthetic_per_class = 400
epochs = 10
