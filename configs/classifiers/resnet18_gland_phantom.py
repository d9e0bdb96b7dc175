# Domain classifier of the gland phantom: as resnet18_phantom.py, benign and malignant, 256 px images seen at 64 px.
# Data: CELLGAN_GLAND_ROOT.
_base_ = 'resnet18_phantom.py'
classes = ['benign', 'malignant']
model = dict(head=dict(num_classes=2), data_preprocessor=dict(num_classes=2))
data = dict(
    data_root='{{$CELLGAN_GLAND_ROOT:data/gland_phantom}}', metainfo=dict(classes=classes))
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = val_dataloader
