# Labelled patches at 64 px in RAM, 16 per step, no loader processes: for a CPU.
_base_ = 'cell_patches_256.py'
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    pin_memory=False,
    dataset=dict(
        cache='ram',
        pipeline=[
            dict(type='FitCellPatch', out_size=64),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
            dict(type='PackCellInputs'),
        ]))
