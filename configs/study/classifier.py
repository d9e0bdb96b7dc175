# The classifier of tools/study.py: a ResNet-18 with a quarter of the channels, at the size of the images.
# It learns the classes of the data folder. Its features evaluate the generators, it selects images, and it
# is the classifier of the benchmark. To train only this classifier:
#   python tools/train.py configs/study/classifier.py --data DIR
_base_ = '../classifiers/benchmark_resnet18_64.py'
_train = [
    dict(type='FitCellPatch', out_size='auto'),
    dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
    dict(type='mmpretrain.PackInputs'),
]
_test = [dict(type='FitCellPatch', out_size='auto'), dict(type='mmpretrain.PackInputs')]
_data = dict(data_root='{{$CELLGAN_DATA_ROOT:data/tct}}', ann_file='', split=None)
train_dataloader = dict(dataset=dict(**_data, pipeline=_train))
val_dataloader = dict(dataset=dict(**_data, pipeline=_test))
test_dataloader = dict(dataset=dict(**_data, pipeline=_test))
