# GlaS, binary task. Data: CELLGAN_GLAS_ROOT, the output of tools/dataset_converters/glas.py.
_base_ = 'tissue_masks_512.py'
glas = dict(
    data_root='{{$CELLGAN_GLAS_ROOT:data/glas}}',
    metainfo=dict(classes=['stroma', 'gland']),
    instances='binary',
    shared_groups='warn')  # published train and test sets share patients
train_dataloader = dict(dataset=dict(**glas, cache='ram'))
val_dataloader = dict(dataset=dict(**glas, split=['testA', 'testB']))
test_dataloader = val_dataloader
val_evaluator = dict(metrics=[dict(type='SegmentationScores', parts=dict(A='testA', B='testB'))])
test_evaluator = val_evaluator
