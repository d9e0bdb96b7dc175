# As default_runtime.py, with shorter intervals of logging, saving and drawing.
_base_ = 'default_runtime.py'
default_hooks = dict(checkpoint=dict(interval=200), logger=dict(interval=25))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='SampleSheetHook', interval=200),
]
