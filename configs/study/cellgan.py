# The default generator of tools/study.py: CellGAN-plus of ../_base_/models/cellgan_plus_64_small.py at the size
# of the images. The study sets how long it trains; the learning rate falls over the last two fifths.
#   python tools/train.py configs/study/cellgan.py --data DIR
_base_ = '../cellgan_plus/_cellgan_plus_64.py'
model = dict(generator=dict(out_size='auto'), discriminator=dict(in_size='auto'))
train_dataloader = dict(
    dataset=dict(
        data_root='{{$CELLGAN_DATA_ROOT:data/tct}}',
        ann_file='',
        split=None,
        pipeline=[
            dict(type='FitCellPatch', out_size='auto'),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5, diagonal=0.5),
            dict(type='PackCellInputs'),
        ]))
custom_hooks = [  # without ModelSelectionHook: the last weights, an average, are taken
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='SampleSheetHook', interval=1000),
]
