# The domain classifier whose features evaluate a generator (HistoGAN, Sec. 3.1.2: a ResNet-34 trained
# on the real training images). One command: python tools/train.py configs/classifiers/resnet34_tct.py
# Data and classes: CELLGAN_DATA_ROOT or --data DIR; without it, the paper's five classes.
_base_ = '_runtime.py'
size = 224
iterations = 10_000
batch_size = 64

model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=34, num_stages=4, out_indices=(3,), style='pytorch'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=5,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1,)),
    # CellPatchDataset gives RGB. Numbers of ImageNet.
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=False,
        num_classes=5))

dataset = dict(
    type='mmagic.CellPatchDataset',
    data_root='{{$CELLGAN_DATA_ROOT:data/tct}}',
    ann_file='',
    metainfo=dict(classes=None))
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    # Samples know their position in the stream: flips differ between epochs, and resume at once.
    sampler=dict(type='mmagic.ResumableInfiniteSampler', shuffle=True),
    dataset=dict(
        **dataset,
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
            dict(type='mmpretrain.PackInputs'),
        ]))
# Without a split of its own the training accuracy is what is shown; configs with a manifest say
# split='val' here.
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset,
        test_mode=True,
        pipeline=[
            dict(type='FitCellPatch', out_size=size),
            dict(type='mmpretrain.PackInputs'),
        ]))
test_dataloader = val_dataloader

train_cfg = dict(
    type='mmagic.ResumableTrainLoop', max_iters=iterations, val_interval=iterations // 10)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=iterations // 20),
    dict(
        type='CosineAnnealingLR',
        T_max=iterations - iterations // 20,
        by_epoch=False,
        begin=iterations // 20,
        end=iterations),
]
