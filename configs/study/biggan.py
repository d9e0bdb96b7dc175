# BigGAN as a generator of tools/study.py: the small network of ../_base_/models/biggan_64_small.py, at 64 px.
_base_ = '../biggan/biggan_phantom.py'
train_dataloader = dict(
    dataset=dict(data_root='{{$CELLGAN_DATA_ROOT:data/tct}}', ann_file='', split=None))
