# Baseline "Consistency-based" (Eq. 9) on the gland phantom: 20 % of the images labelled.
_base_ = [
    '../_base_/pyramid_short_runtime.py',
    '../_base_/datasets/gland_phantom_64.py',
    '../_base_/schedules/adam_pyramid_short.py',
]
model = dict(
    type='MeanTeacher',
    num_classes=2,
    scales=[dict(size=64, batch_size=4, iters=600)],
    segmenter=dict(
        type='FCDenseNet',
        first_channels=16,
        growth_rate=8,
        block_layers=[2, 2, 2],
        bottleneck_layers=2,
        dropout=0.1),
    ramp_up=5)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='LabelledBatchSampler', labelled=2, unlabelled=2),
    dataset=dict(labelled_ratio=0.2, labelled_by='image'))
