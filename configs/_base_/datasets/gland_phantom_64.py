# The gland phantom: 256 px images resized to 64 px, in RAM, no loader processes, for a CPU.
# Data: CELLGAN_GLAND_ROOT.
_base_ = 'tissue_masks_512.py'
phantom = dict(
    data_root='{{$CELLGAN_GLAND_ROOT:data/gland_phantom}}',
    metainfo=dict(classes=['stroma', 'gland']),
    instances='binary')
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(
        **phantom,
        cache='ram',
        tile=256,
        min_overlap=0,
        pipeline=[
            dict(type='FitTissue', out_size=64),
            dict(type='RandomTissueFlip'),
            dict(type='RandomTissueColor'),
            dict(type='PackTissueInputs'),
        ]))
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        **phantom,
        split='test',
        pipeline=[dict(type='FitTissue', scale=0.25), dict(type='PackTissueInputs')]))
test_dataloader = val_dataloader
