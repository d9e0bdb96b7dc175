# Shared settings of the classifiers: they run in MMPretrain's scope with this plugin's data set and hooks.
_base_ = '../_base_/common_runtime.py'
default_scope = 'mmpretrain'
model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None)
default_hooks = dict(
    checkpoint=dict(interval=1000, max_keep_ckpts=1),
    training_images=dict(type='mmagic.TrainingImagesHook'))  # for leak checks
custom_hooks = [
    dict(type='mmagic.NonFiniteLossHook'),
    dict(type='mmagic.ThroughputHook'),
    dict(type='mmagic.PreemptionHook'),
]
log_processor = dict(window_size=50)

val_cfg = dict()
val_evaluator = dict(type='Accuracy', topk=(1,))
test_cfg = dict()
test_evaluator = val_evaluator
