# Labelled tissue patches of 256x128 (height x width), 64 per step (HistoGAN, Sec. 4.1 and 4.2.1):
# class folders with a manifest whose column `split` separates patients. Flipped only left-right,
# because epithelium has a surface and a base.
_base_ = 'cell_patches_256.py'
data_root = '{{$CELLGAN_CERVICAL_ROOT:data/cervical}}'
classes = ['Normal', 'CIN1', 'CIN2', 'CIN3']
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='manifest.csv',
        split='train',
        metainfo=dict(classes=classes),
        pipeline=[
            dict(type='FitCellPatch', out_size=(256, 128)),
            dict(type='RandomCellFlip', horizontal=0.5, vertical=0.0),
            dict(type='PackCellInputs'),
        ]))
