# pyramid_phantom.py with the paper's perceptual term (Sec. 3.1.3), on the features of a classifier of the
# gland phantom in place of VGG-19's. First that classifier:
#   python tools/train.py configs/classifiers/resnet18_gland_phantom.py
# CELLGAN_PERCEPTUAL_CLASSIFIER: its work directory. Do not evaluate with the same classifier: training pulls
# its features of generated images towards those of real ones.
_base_ = 'pyramid_phantom.py'
model = dict(
    perceptual_loss=dict(
        _delete_=True,
        type='ClassifierPerceptualLoss',
        network=dict(
            type='mmpretrain.ResNet',
            depth=18,
            stem_channels=16,
            base_channels=16,
            out_indices=(0, 1, 2, 3)),
        weights='{{$CELLGAN_PERCEPTUAL_CLASSIFIER:work_dirs/resnet18_gland_phantom}}',
        layer_weights=[1 / 8, 1 / 4, 1 / 2, 1.0],  # pix2pixHD: halved from a layer to the one before
        loss_weight=10.0))  # gamma
