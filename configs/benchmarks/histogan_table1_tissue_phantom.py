# Table 1 on the tissue phantom at 64x32, on two CPU cores. Data: CELLGAN_TISSUE_ROOT:
#   python tools/dataset_converters/phantom.py --kind tissue --out data/tissue_phantom --per-class 150 --size 64x32
#   python tools/benchmark.py configs/benchmarks/histogan_table1_tissue_phantom.py --jobs 2
_base_ = '_histogan_table1.py'
title = 'Tissue phantom at 64x32'
data = dict(data_root='{{$CELLGAN_TISSUE_ROOT:data/tissue_phantom}}', ann_file='manifest.csv')
classes = ['Normal', 'CIN1', 'CIN2', 'CIN3']
classifiers = dict(ResNet='../classifiers/benchmark_resnet18_tissue.py')
# Its last weights; the best by smoothed FD: histogan_tissue_phantom_fd.py and best_by_fd=True.
generators = dict(HistoGAN=dict(config='../histogan/histogan_tissue_phantom.py'))
ratios = [7, 1, 2]
steps = 160  # the same for all rows: in so few steps, more of them would help by itself
