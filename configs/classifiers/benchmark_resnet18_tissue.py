# A ResNet-18 with a quarter of the channels at 64x32 without augmentation, for benchmarks of the
# tissue phantom in minutes on a CPU.
_base_ = 'resnet18_tissue_phantom.py'
size = (64, 32)
model = dict(head=dict(cal_acc=True))
train_dataloader = dict(
    dataset=dict(
        cache='ram',
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='mmpretrain.PackInputs'),
        ]))
val_dataloader = dict(dataset=dict(cache='ram'))
test_dataloader = val_dataloader
