# GlaS, binary task: tiles of 512 px resized to 64 px, in RAM, no loader processes, for a CPU.
# Data: CELLGAN_GLAS_ROOT.
_base_ = 'glas_512.py'
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(
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
        split='testA',
        pipeline=[dict(type='FitTissue', scale=0.125), dict(type='PackTissueInputs')]))
test_dataloader = val_dataloader
val_evaluator = dict(metrics=[dict(type='SegmentationScores')])
test_evaluator = val_evaluator
