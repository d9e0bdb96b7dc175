# Segmentation with few labels on GlaS: Table 2 (100 %), Tables 4 (binary) to 7, Fig. 6 of Li et al. 2022.
# Full size: 512 px, 200 epochs per scale; one GPU per job.
#   python tools/segmentation_benchmark.py configs/benchmarks/segmentation_glas.py --seeds 0 1 2
# Data: CELLGAN_GLAS_ROOT, the output of tools/dataset_converters/glas.py.
_base_ = '_published_glas.py'
title = 'GlaS'
data = dict(
    data_root='{{$CELLGAN_GLAS_ROOT:data/glas}}', classes=['stroma', 'gland'], instances='binary',
    train='train', test=['testA', 'testB'],
    shared_groups='warn')  # the published split is not by patient
parts = dict(A='testA_', B='testB_')
methods = {
    'm-FCDenseNet': dict(config='../pyramid_gan/fc_densenet_glas.py'),
    'm-FCDenseNet + pyramid': dict(config='../pyramid_gan/pyramid_glas_no_synthetic.py'),
    'm-FCDenseNet + pyramid, cross-entropy only': dict(
        config='../pyramid_gan/pyramid_glas_no_synthetic.py',
        options=dict(model=dict(generator=None, discriminator=None, perceptual_loss=None))),
    # Algorithm 2 on the labelled share; with all masks it is the paper's "Ours".
    '+ synthetic': dict(config='../pyramid_gan/pyramid_glas.py', ratios=[0.2, 0.4, 0.6, 0.8]),
    'Consistency-based': dict(config='../pyramid_gan/mean_teacher_glas.py', unlabelled=True),
    'Consistency-based, test images': dict(
        config='../pyramid_gan/mean_teacher_glas.py', unlabelled=True, transductive=True),
    'Ours': dict(
        config='../pyramid_gan/pyramid_glas_semi.py', unlabelled=True,
        full_config='../pyramid_gan/pyramid_glas.py'),
    'Ours, test images': dict(
        config='../pyramid_gan/pyramid_glas_semi.py', unlabelled=True, transductive=True),
}
ratios = [0.2, 0.4, 0.6, 0.8, 1.0]  # Sec. 4.4.1
baseline = ['m-FCDenseNet', 'm-FCDenseNet + pyramid', 'Ours']  # Fig. 6
show_truth = False  # annotations of GlaS are not ours to show
