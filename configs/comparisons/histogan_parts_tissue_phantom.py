# An ablation of HistoGAN that removes one part at a time, on the tissue phantom (64x32, two CPU cores), six
# minutes of training each. First train the classifier for the evaluation:
#   python tools/train.py configs/classifiers/resnet18_tissue_phantom.py
# In every row, the critics of this small model get the label by the projection.
_base_ = 'histogan_parts_cervical.py'
title = 'HistoGAN without one of its parts, tissue phantom'
config = '../histogan/histogan_tissue_phantom.py'
evaluation = '../_base_/evaluation/tissue_phantom_fd.py'
budget = dict(minutes=6)
