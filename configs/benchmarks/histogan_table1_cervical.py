# Table 1 (HistoGAN, Sec. 4.1 and 4.3.3): cervical epithelium, four grades, 7:1:2 by patient, ResNet-34.
# Data: CELLGAN_CERVICAL_ROOT, with a manifest whose column `group` is the patient.
#   python tools/benchmark.py configs/benchmarks/histogan_table1_cervical.py
# The paper does not give the classifier's epochs or the use of the validation images. Here these choose the
# classifier's weights. The generator's weights are chosen by the smoothed FD to the training images in the
# baseline's features (Sec. 3.1.2).
_base_ = '_histogan_table1.py'
title = 'Table 1: cervical histopathology'
data = dict(data_root='{{$CELLGAN_CERVICAL_ROOT:data/cervical}}', ann_file='manifest.csv')
classes = ['Normal', 'CIN1', 'CIN2', 'CIN3']
classifiers = dict(ResNet='../classifiers/benchmark_resnet34_cervical.py')
generators = dict(
    HistoGAN=dict(config='../histogan/histogan_cervical_fd.py', best_by_fd=True))
ratios = [7, 1, 2]
select = 'best'
epochs = 100
