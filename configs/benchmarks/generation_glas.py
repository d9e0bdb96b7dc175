# Table 1 and Sec. 4.2.2: Frechet distance of images made from the masks of the test images, MS-SSIM between
# ten samples of one mask and to the original. The paper's ResNeXt-50 is not public. Any extractor works, but
# distances of different extractors cannot be compared. Here it is an MMPretrain classifier of tissue:
#   CELLGAN_TISSUE_CLASSIFIER_CONFIG and CELLGAN_TISSUE_CLASSIFIER (its weights).
title = 'GlaS'
data = dict(
    data_root='{{$CELLGAN_GLAS_ROOT:data/glas}}', classes=['stroma', 'gland'], instances='binary',
    train='train', test=['testA', 'testB'], shared_groups='warn')
methods = {
    'pix2pix': dict(config='../pyramid_gan/pix2pix_glas.py'),
    'pix2pixHD': dict(config='../pyramid_gan/pix2pixhd_glas.py'),
    'Ours': dict(config='../pyramid_gan/pyramid_glas_generation.py'),
}
ratios = [1.0]
metrics = []
generation = dict(
    extractor=dict(
        type='ClassifierFeatures',
        config='{{$CELLGAN_TISSUE_CLASSIFIER_CONFIG:configs/classifiers/resnet34_pcam.py}}',
        checkpoint='{{$CELLGAN_TISSUE_CLASSIFIER:work_dirs/resnet34_pcam}}'),
    similarity_masks=10,
    similarity_samples=10)
notes = [
    'Li et al. 2022, Table 1 (features of their ResNeXt-50, which no other distance can be compared with), '
    'copied: pix2pix 3.654, pix2pixHD 1.028, theirs 0.0059, original images 8.4e-4. Sec. 4.2.2, MS-SSIM to '
    'the original and among samples: theirs 0.738 and 0.768, pix2pixHD 0.279 and 0.317',
]
keep_weights = True
