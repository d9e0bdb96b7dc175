# HistoGAN-plus on the tissue phantom at 64x32 (1,000 training images per grade), an hour of one core:
#   python tools/dataset_converters/phantom.py --kind tissue --out data/tissue_phantom --size 64x32 \
#       --splits train=1000,val=200,test=200
#   python tools/train.py configs/classifiers/resnet18_tissue_phantom.py
#   python tools/train.py configs/histogan_plus/histogan_plus_tissue_phantom.py --amp
# Evaluated during training with the phantom's own classifier, on held-out images.
_base_ = [
    '../_base_/plus_runtime.py',
    '../_base_/datasets/tissue_patches_64x32.py',
    '../_base_/models/histogan_plus_64x32_small.py',
    '../_base_/schedules/adam_plus_12k.py',
    '../_base_/evaluation/tissue_phantom_fd.py',
]
train_cfg = dict(val_interval=500)
default_hooks = dict(logger=dict(interval=50))
