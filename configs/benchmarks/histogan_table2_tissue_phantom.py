# Table 2 on the tissue phantom at 64x32: a quarter, half and all of the images of its training split.
# Data: CELLGAN_TISSUE_ROOT:
#   python tools/dataset_converters/phantom.py --kind tissue --out data/tissue_phantom --size 64x32 \
#       --splits train=100,val=20,test=50
_base_ = 'histogan_table1_tissue_phantom.py'
title = 'Tissue phantom at 64x32, shares of the training images'
ratios = None
fixed_splits = True
shares = [0.25, 0.5, 1.0]
rows = {
    'Traditional augmentation': None,
    'Stain augmentation': None,
    'GAN augmentation': None,
    'Single filtering': None,
}
