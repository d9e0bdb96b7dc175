# Settings of every run of this repository: GANs and classifiers, in any default scope.
custom_imports = dict(imports=['cellgan_plugin'], allow_failed_imports=False)

randomness = dict(seed=0)
log_level = 'INFO'
load_from = None
resume = False

env_cfg = dict(
    cudnn_benchmark=True,
    # Loader workers and the main process on the same cores: more threads only get in the way.
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))

default_hooks = dict(
    runtime_info=dict(type='mmagic.DeferredRuntimeInfoHook'),
    timer=dict(type='mmengine.IterTimerHook'),  # MMagic's own gives no ETA
    logger=dict(type='LoggerHook', interval=100, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=None,
    checkpoint=dict(
        type='mmagic.SafeCheckpointHook', interval=2000, by_epoch=False, max_keep_ckpts=3))
log_processor = dict(type='mmengine.LogProcessor', by_epoch=False, window_size=100)
# TensorBoard is added by tools/train.py where it is installed.
visualizer = dict(type='mmengine.Visualizer', vis_backends=[dict(type='mmengine.LocalVisBackend')])
