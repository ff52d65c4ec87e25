"""What every run shares: scope, random seed, logging, checkpoints, pictures of predictions."""
default_scope = 'mmseg_dg'
custom_imports = dict(imports=['mmseg_dg'], allow_failed_imports=False)

env_cfg = dict(
    # the official runs had it on; their author suspects it for their seed spread
    # (docs/behavior/daformer_hrda.md#reports-of-users)
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
# the papers report seeds 0, 1 and 2 (docs/behavior/daformer_hrda.md#optimizer-and-schedule):
# tools/study.py CONFIG --seeds 0 1 2
randomness = dict(seed=0)

log_level = 'INFO'
log_processor = dict(type='DomainLogProcessor', by_epoch=False)
visualizer = dict(
    type='SegmentationVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    # docs/behavior/daformer_hrda.md#optimizer-and-schedule
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='DomainCheckpointHook', by_epoch=False, interval=4000, max_keep_ckpts=1),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    report=dict(type='ReportMaterialHook'),  # what tools/report.py shows
    visualization=dict(type='SegVisualizationHook'))

resume = False
