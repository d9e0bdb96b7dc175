# Algorithm 3: semi-supervised, 20 % of the images labelled (Table 4, "Ours"). For other ratios:
# --cfg-options train_dataloader.dataset.labelled_ratio=0.4
_base_ = 'pyramid_glas.py'
model = dict(semi_supervised=True, pseudo_probability=0.1, pseudo_start=10)
# Half of every batch is labelled; the numbers are those of the scale in training.
train_dataloader = dict(
    sampler=dict(_delete_=True, type='LabelledBatchSampler', labelled=2, unlabelled=2),
    dataset=dict(labelled_ratio=0.2, labelled_by='image'))  # Sec. 4.4.1: randomly selected
