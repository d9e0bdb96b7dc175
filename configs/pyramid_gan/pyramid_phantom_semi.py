# Algorithm 3 on the gland phantom: 20 % of the images labelled.
_base_ = 'pyramid_phantom.py'
model = dict(semi_supervised=True, pseudo_probability=0.1, pseudo_start=1)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='LabelledBatchSampler', labelled=2, unlabelled=2),
    dataset=dict(labelled_ratio=0.2, labelled_by='image'))
