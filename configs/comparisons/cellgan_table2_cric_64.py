# The ablations of Table 2 with the small model on CRIC Cervix patches (64 px, two CPU cores), six
# minutes of training each. First train the classifier for the evaluation:
#   python tools/train.py configs/classifiers/resnet18_cric_64.py
_base_ = 'cellgan_table2_phantom.py'
title = 'Ablations on CRIC at 64 px'
config = '../cellgan_cric_64.py'
evaluation = '../_base_/evaluation/cric_64_fd.py'
