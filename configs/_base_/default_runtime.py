# Logging, checkpoints and sheets of every run of a generator.
_base_ = 'common_runtime.py'
default_scope = 'mmagic'

# Generator and discriminator are wrapped apart; device_ids=None serves CPUs and GPUs alike.
model_wrapper_cfg = dict(
    type='MMSeparateDistributedDataParallel',
    device_ids=None,
    broadcast_buffers=False,
    find_unused_parameters=False)

# Not among the custom ones: a config that replaces those still says what it was trained on.
default_hooks = dict(training_images=dict(type='TrainingImagesHook'))
custom_hooks = [
    dict(type='NonFiniteLossHook'),
    dict(type='ThroughputHook'),
    dict(type='PreemptionHook'),
    dict(type='SampleSheetHook', interval=2000),
]
