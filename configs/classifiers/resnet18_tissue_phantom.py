# Domain classifier of the tissue phantom: as resnet18_phantom.py, four grades at 64x32.
# Data: CELLGAN_TISSUE_ROOT.
_base_ = 'resnet18_phantom.py'
size = (64, 32)
classes = ['Normal', 'CIN1', 'CIN2', 'CIN3']
model = dict(head=dict(num_classes=4), data_preprocessor=dict(num_classes=4))
data = dict(
    data_root='{{$CELLGAN_TISSUE_ROOT:data/tissue_phantom}}', metainfo=dict(classes=classes))
train_dataloader = dict(
    dataset=dict(
        **data,
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.0),
            dict(type='mmpretrain.PackInputs'),
        ]))
val_dataloader = dict(
    dataset=dict(
        **data,
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='mmpretrain.PackInputs'),
        ]))
test_dataloader = val_dataloader
