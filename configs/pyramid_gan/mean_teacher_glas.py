# Baseline "Consistency-based" (Eq. 9): mean teacher, 20 % of the images labelled (Table 4).
_base_ = ['../_base_/pyramid_runtime.py', '../_base_/datasets/glas_512.py',
          '../_base_/schedules/adam_pyramid.py']
model = dict(
    type='MeanTeacher',
    num_classes=2,
    scales=[dict(size=512, batch_size=4, epochs=200)],
    segmenter=dict(type='FCDenseNet', growth_rate=14, block_layers=[3, 3, 4, 4]))
train_dataloader = dict(
    sampler=dict(_delete_=True, type='LabelledBatchSampler', labelled=2, unlabelled=2),
    dataset=dict(labelled_ratio=0.2, labelled_by='image'))
