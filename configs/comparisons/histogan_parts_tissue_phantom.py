# HistoGAN without one of its parts at a time on the tissue phantom (64x32, two CPU cores), six minutes of
# training each. First the classifier that evaluates:
#   python tools/train.py configs/classifiers/resnet18_tissue_phantom.py
# The critics of this small model see the label through the projection in every row.
_base_ = 'histogan_parts_cervical.py'
title = 'HistoGAN without one of its parts, tissue phantom'
config = '../histogan/histogan_tissue_phantom.py'
evaluation = '../_base_/evaluation/tissue_phantom_fd.py'
budget = dict(minutes=6)
