# As resnet18_phantom.py for CRIC patches at 64 px: a minute on two CPU cores. Data:
# CELLGAN_CRIC_ROOT, the training fields of the manifest, as configs/cellgan_cric_64.py. The accuracy
# shown is on training images; with enough held-out ones set val_dataloader.dataset.split=val.
# For class folders without a manifest set train_dataloader.dataset.ann_file= and
# train_dataloader.dataset.split=None by --cfg-options, and the same for val_ and test_dataloader.
_base_ = 'resnet18_phantom.py'
data = dict(
    data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}',
    ann_file='manifest.csv',
    split='train',
    extra_classes='skip')
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = dict(dataset=data)
# No held-out images, no best weights: the last ones evaluate.
train_cfg = dict(val_interval=120)
default_hooks = dict(checkpoint=dict(save_best=None))
