# Table 2 (HistoGAN, Sec. 4.1 and 4.3.3): PatchCamelyon with 3, 5, 10 and 20 % of its images for training,
# tested on its whole test split. 10 % are 32,768 patches (Sec. 4.1), so a share is of all images, but it is
# drawn from the training split. Data: CELLGAN_PCAM_ROOT, converted completely (no --fraction):
#   python tools/dataset_converters/pcam.py PCAM --out data/pcam
#   python tools/benchmark.py configs/benchmarks/histogan_table2_pcam.py
# One generator per share, each trained for 128,000 steps (1,000 epochs at 10 %).
_base_ = '_histogan_table1.py'
title = 'Table 2: PatchCamelyon'
data = dict(data_root='{{$CELLGAN_PCAM_ROOT:data/pcam}}', ann_file='manifest.csv')
classes = ['normal', 'tumor']
classifiers = dict(ResNet='../classifiers/benchmark_resnet34_pcam.py')
generators = dict(HistoGAN=dict(config='../histogan/histogan_pcam_fd.py', best_by_fd=True))
fixed_splits = True
shares = [0.03, 0.05, 0.1, 0.2]
share_of = 'all'
rows = {
    'Traditional augmentation': dict(shares=[0.1]),
    'Stain augmentation': dict(shares=[0.1]),  # not in the paper
    'GAN augmentation': dict(shares=[0.1]),
    'Single filtering': None,  # not in Table 2
}
select = 'best'
epochs = 30
