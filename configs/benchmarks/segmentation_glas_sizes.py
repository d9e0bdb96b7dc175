# Fig. 7: the single scale and the pyramid by input size, all masks, GlaS.
_base_ = 'segmentation_glas.py'
title = 'GlaS by input size'
_fit = [
    [
        dict(type='FitTissue', out_size=size),
        dict(type='RandomTissueFlip'),
        dict(type='RandomTissueColor'),
        dict(type='PackTissueInputs'),
    ] for size in (64, 128, 256, 512)
]
_scales = [
    dict(size=64, batch_size=8, epochs=200),
    dict(size=128, batch_size=6, epochs=200),
    dict(size=256, batch_size=4, epochs=200),
    dict(size=512, batch_size=4, epochs=200),
]
methods = dict(
    _delete_=True,
    **{
        'm-FCDenseNet': dict(
            config='../pyramid_gan/fc_densenet_glas.py',
            sizes={
                str(_scales[i]['size']): dict(
                    model=dict(scales=[_scales[i]]),
                    train_dataloader=dict(dataset=dict(pipeline=_fit[i]))) for i in range(4)
            }),
        'Ours': dict(
            config='../pyramid_gan/pyramid_glas.py',
            sizes={
                str(_scales[i]['size']): dict(
                    model=dict(scales=_scales[:i + 1]),
                    train_dataloader=dict(dataset=dict(pipeline=_fit[i]))) for i in range(4)
            }),
    })
sizes = [64, 128, 256, 512]
ratios = [1.0]
baseline = None
