# As resnet18_phantom.py for CRIC patches at 64 px: a minute on two CPU cores. Data:
# CELLGAN_CRIC_ROOT. All images are trained on (ASC-H has 22), so the accuracy shown is that on
# training images.
_base_ = 'resnet18_phantom.py'
iterations = 240
data = dict(
    data_root='{{$CELLGAN_CRIC_ROOT:data/cric}}', ann_file='', split=None, extra_classes='skip')
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = dict(dataset=data)
