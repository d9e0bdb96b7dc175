# Domain classifier of GlaS tiles: as resnet18_phantom.py, benign and malignant, at 64 px.
# Data: CELLGAN_GLAS_TILES_ROOT.
_base_ = 'resnet18_phantom.py'
classes = ['benign', 'malignant']
model = dict(head=dict(num_classes=2), data_preprocessor=dict(num_classes=2))
data = dict(
    data_root='{{$CELLGAN_GLAS_TILES_ROOT:data/glas_tiles}}', metainfo=dict(classes=classes))
train_dataloader = dict(dataset=data)
val_dataloader = dict(dataset=data)
test_dataloader = val_dataloader
