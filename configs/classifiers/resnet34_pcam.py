# The baseline ResNet-34 of PatchCamelyon in HistoGAN (Sec. 4.1): two classes at 96x96.
# Data: CELLGAN_PCAM_ROOT, class folders with a manifest.
_base_ = 'resnet34_tct.py'
size = 96
classes = ['normal', 'tumor']
model = dict(head=dict(num_classes=2), data_preprocessor=dict(num_classes=2))
data = dict(
    data_root='{{$CELLGAN_PCAM_ROOT:data/pcam}}',
    ann_file='manifest.csv',
    metainfo=dict(classes=classes))
train_dataloader = dict(
    dataset=dict(
        **data,
        split='train',
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
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
