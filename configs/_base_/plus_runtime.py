# As short_runtime.py for the plus models: keeps the checkpoint with the lowest smoothed distance and draws a sheet
# every thousand iterations.
_base_ = 'short_runtime.py'
default_hooks = dict(checkpoint=dict(interval=500), logger=dict(interval=100))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='ModelSelectionHook'),
    dict(type='SampleSheetHook', interval=1000),
]
