# As default_runtime.py, with the pyramid's sheets.
_base_ = 'default_runtime.py'
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='PyramidSheetHook', interval=2000),
]
