# Table 8: prostate at 512 px, 20 to 80 % of the masks, 20 % of the images kept for testing (fold 1), five seeds.
_base_ = 'segmentation_prostate.py'
_unlabelled = dict(
    sampler=dict(_delete_=True, type='LabelledBatchSampler', labelled=2, unlabelled=2))
_semi = dict(
    model=dict(semi_supervised=True, pseudo_probability=0.1, pseudo_start=10),
    train_dataloader=_unlabelled)
_teacher = dict(
    model=dict(
        _delete_=True, type='MeanTeacher', num_classes=4,
        tile_size=1024,
        scales=[dict(size=512, batch_size=4, epochs=200)],
        segmenter=dict(type='FCDenseNet', growth_rate=14, block_layers=[3, 3, 4, 4])),
    train_dataloader=_unlabelled)
methods = {
    'm-FCDenseNet + pyramid': dict(
        config='../pyramid_gan/pyramid_prostate_512.py', options=dict(model=dict(synthetic_weight=0))),
    'Consistency-based': dict(
        config='../pyramid_gan/pyramid_prostate_512.py', unlabelled=True, options=_teacher),
    'Consistency-based, test images': dict(
        config='../pyramid_gan/pyramid_prostate_512.py', unlabelled=True, transductive=True,
        options=_teacher),
    'Ours': dict(
        config='../pyramid_gan/pyramid_prostate_512.py', unlabelled=True, options=_semi),
    'Ours, test images': dict(
        config='../pyramid_gan/pyramid_prostate_512.py', unlabelled=True, transductive=True,
        options=_semi),
}
ratios = [0.2, 0.4, 0.6, 0.8]
run_folds = [0]
seeds = [0, 1, 2, 3, 4]
metrics = ['mIoU']
