# What the classifiers share: they run in MMPretrain's scope with this plugin's data set and hooks.
default_scope = 'mmpretrain'
custom_imports = dict(imports=['cellgan_plugin'], allow_failed_imports=False)
randomness = dict(seed=0)
log_level = 'INFO'
load_from = None
resume = False
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None)
default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='mmengine.IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=None,
    checkpoint=dict(
        type='mmagic.SafeCheckpointHook', interval=1000, by_epoch=False, max_keep_ckpts=1))
custom_hooks = [
    dict(type='mmagic.NonFiniteLossHook'),
    dict(type='mmagic.ThroughputHook'),
    dict(type='mmagic.PreemptionHook'),
]
log_processor = dict(type='mmengine.LogProcessor', by_epoch=False, window_size=50)
visualizer = dict(type='mmengine.Visualizer', vis_backends=[dict(type='mmengine.LocalVisBackend')])

val_cfg = dict()
val_evaluator = dict(type='Accuracy', topk=(1,))
test_cfg = dict()
test_evaluator = val_evaluator
