# Table 3 (CellGAN, Sec. 3.3): 400 real images per class, 5 folds, ResNet-34 and DenseNet-121, without and
# with 2,000 synthetic images per class of BigGAN, LDM and CellGAN. Data: CELLGAN_DATA_ROOT.
# The generators are those that tools/train.py writes to work_dirs/. Like the paper's, they were trained on
# all images: this is refused without --paper-protocol. The clean way needs no checkpoint:
#   --generator CellGAN=configs/cellgan_tct.py --train-generators
title = 'Table 3: data augmentation, TCT'
data = dict(data_root='{{$CELLGAN_DATA_ROOT:data/tct}}')
classifiers = dict(
    ResNet='../classifiers/benchmark_resnet34.py',
    DenseNet='../classifiers/benchmark_densenet121.py')
generators = dict(
    BigGAN=dict(config='../biggan/biggan_tct.py', checkpoint='work_dirs/biggan_tct'),
    LDM=dict(config='../latent_diffusion/ldm_tct.py', checkpoint='work_dirs/ldm_tct'),
    CellGAN=dict(config='../cellgan_tct.py', checkpoint='work_dirs/cellgan_tct'))
num_folds = 5
per_class = 400
synthetic_per_class = 2000
epochs = 30
