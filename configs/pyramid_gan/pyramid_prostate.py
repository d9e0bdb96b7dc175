# Algorithm 2 on 1024 px tiles, five scales, four classes: prostate Gleason grading (Sec. 4.1.2).
# The finest scale recomputes activations and needs about 26 GiB with the segmenter, estimated and never run
# (docs/pyramid_gan.md). For the paper's tables, at 512 px, use pyramid_prostate_512.py.
# Data: CELLGAN_PROSTATE_ROOT, image + mask pairs with a manifest.
_base_ = 'pyramid_glas.py'
prostate = dict(
    data_root='{{$CELLGAN_PROSTATE_ROOT:data/prostate}}',
    metainfo=dict(classes=['stroma', 'benign', 'low grade', 'high grade']),
    instances=None)
model = dict(
    num_classes=4,
    scales=[  # Sec. 3.4 and 4.2.1
        dict(size=64, batch_size=8, epochs=200),
        dict(size=128, batch_size=6, epochs=200),
        dict(size=256, batch_size=4, epochs=200),
        dict(size=512, batch_size=4, epochs=200),
        dict(size=1024, batch_size=3, epochs=200, checkpoint=True),
    ])
train_dataloader = dict(
    dataset=dict(**prostate, tile=1024, min_overlap=512, cache=None, shared_groups='error'))
val_dataloader = dict(
    dataset=dict(**prostate, split='test', with_instances=False, shared_groups='error'))
test_dataloader = val_dataloader
val_evaluator = dict(metrics=[dict(type='SegmentationScores', objects=False)])
test_evaluator = val_evaluator
