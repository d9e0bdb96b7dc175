# CellGAN-plus on the phantom set (1,000 training images per class), an hour and a half of one core:
#   python tools/dataset_converters/phantom.py --out data/phantom --size 64 \
#       --splits train=1000,val=200,test=200
#   python tools/train.py configs/classifiers/resnet18_phantom.py
#   python tools/train.py configs/cellgan_plus/cellgan_plus_phantom.py --amp
# Evaluated during training with the phantom's own classifier, on held-out images.
_base_ = ['_cellgan_plus_64.py', '../_base_/evaluation/phantom_fd.py']
train_dataloader = dict(dataset=dict(data_root='{{$CELLGAN_PHANTOM_ROOT:data/phantom}}'))
