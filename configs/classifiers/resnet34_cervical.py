# The baseline ResNet-34 of HistoGAN's cervical images (Sec. 4.1): four grades at 256x128, whose
# features choose the checkpoint (Sec. 3.1.2). Data: CELLGAN_CERVICAL_ROOT, with a manifest that splits
# by patient. Flipped only left-right, because epithelium has a surface and a base.
_base_ = 'resnet34_tct.py'
size = (256, 128)
classes = ['Normal', 'CIN1', 'CIN2', 'CIN3']
model = dict(head=dict(num_classes=4), data_preprocessor=dict(num_classes=4))
data = dict(
    data_root='{{$CELLGAN_CERVICAL_ROOT:data/cervical}}',
    ann_file='manifest.csv',
    metainfo=dict(classes=classes))
train_dataloader = dict(
    dataset=dict(
        **data,
        split='train',
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.0),
            dict(type='mmpretrain.PackInputs'),
        ]))
val_dataloader = dict(
    dataset=dict(
        **data,
        split='val',
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='mmpretrain.PackInputs'),
        ]))
test_dataloader = val_dataloader
# The best by held-out accuracy is kept, as the benchmark does with select='best'; it is what evaluates.
default_hooks = dict(checkpoint=dict(save_best='accuracy/top1', rule='greater'))
