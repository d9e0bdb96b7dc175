"""The configs that README.md names, small: what the paper trains in days is seconds here."""

from .conftest import REPO

_PIPELINE = """
_pipeline = [
    dict(type='FitCellPatch', out_size=32),
    dict(type='RandomCellFlip', horizontal=0.5, vertical=0.5),
    dict(type='PackCellInputs'),
]
"""
GENERATOR = (
    _PIPELINE
    + """
model = dict(
    generator=dict(out_size=32, base_channels=1),
    discriminator=dict(in_size=32, base_channels=1),
    ema_config=dict(start_iter=2))
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, pin_memory=False,
    dataset=dict(pipeline=_pipeline))
train_cfg = dict(max_iters=4)
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=1))
"""
)
CLASSIFIER = """
_pipeline = [dict(type='FitCellPatch', out_size=32), dict(type='mmpretrain.PackInputs')]
_loader = dict(
    batch_size=8, num_workers=0, persistent_workers=False, pin_memory=False,
    dataset=dict(pipeline=_pipeline))
model = dict(
    backbone=dict(depth=18, stem_channels=4, base_channels=4), head=dict(in_channels=32))
train_dataloader = _loader
val_dataloader = _loader
test_dataloader = _loader
train_cfg = dict(max_iters=2, val_interval=2)
"""
COMPARISON = """
models = [dict(name='CellGAN', config='../cellgan_tct.py')]
evaluation = '../_base_/evaluation/tct_fd.py'
evaluation_options = {
    'val_dataloader.batch_size': 8,
    'val_dataloader.num_workers': 0,
    'val_dataloader.dataset.pipeline.0.out_size': 32,
    'val_evaluator.metrics.0.extractor.config': 'configs/classifiers/resnet34_tct.py',
}
samples_per_class = 3
figure = dict(samples_per_class=1, columns=1)
"""
TABLE_3 = """
classifiers = dict(_delete_=True, ResNet='../classifiers/resnet34_tct.py')
generators = dict(_delete_=True)
ratios = [2, 1, 1]
num_folds = 1
per_class = None
synthetic_per_class = 2
steps = 2
"""
PYRAMID = """
model = dict(
    generator=dict(base_channels=4, num_blocks=1),
    discriminator=dict(base_channels=4),
    segmenter=dict(first_channels=6, growth_rate=4, block_layers=[1, 1], bottleneck_layers=1),
    scales=[dict(size=16, batch_size=4, iters=3), dict(size=32, batch_size=2, iters=3)],
    synthetic_start=0,
    pseudo_start=0)
_pipeline = [
    dict(type='FitTissue', out_size=32), dict(type='RandomTissueFlip'),
    dict(type='PackTissueInputs')]
train_dataloader = dict(
    dataset=dict(tile=64, labelled_ratio=0.5, pipeline=_pipeline))
"""
SEGMENTATION = """
_data = dict(dataset=dict(
    tile=64, pipeline=[dict(type='FitTissue', out_size=32), dict(type='RandomTissueFlip'),
                       dict(type='PackTissueInputs')]))
_scale = dict(batch_size=2, iters=3)
methods = dict(
    _delete_=True,
    single=dict(
        config='../pyramid_gan/fc_densenet_phantom.py',
        options=dict(model=dict(scales=[dict(_scale, size=32)]), train_dataloader=_data)),
    pyramid=dict(
        config='../pyramid_gan/pyramid_phantom.py',
        options=dict(model=dict(scales=[dict(_scale, size=16), dict(_scale, size=32)]),
                     train_dataloader=_data)))
ratios = [0.5]
generation = dict(
    extractor=dict(
        type='BackboneFeatures', arch='shufflenet_v2_x0_5', weights='weights.pth', input_size=32),
    similarity_masks=1, similarity_samples=2, split=['train'])
baseline = None
"""
# A study has no config of its own: what it does in four hours is said by one.
STUDY_GENERATOR = """
model = dict(
    generator=dict(out_size=32, base_channels=1),
    discriminator=dict(in_size=32, base_channels=1),
    ema_config=dict(start_iter=2))
train_dataloader = dict(batch_size=4)
"""
STUDY_CLASSIFIER = """
model = dict(backbone=dict(stem_channels=4, base_channels=4), head=dict(in_channels=32))
"""
STUDY = """
generators = dict(Tiny='cellgan.py')
classifier = 'classifier.py'
iterations = 4
steps = 2
folds = 1
"""
SMALL = {
    'configs/cellgan_tct.py': GENERATOR,
    'configs/classifiers/resnet34_tct.py': CLASSIFIER,
    'configs/comparisons/cellgan_table1_tct.py': COMPARISON,
    'configs/benchmarks/cellgan_table3_tct.py': TABLE_3,
    'configs/pyramid_gan/pyramid_phantom_semi.py': PYRAMID,
    'configs/benchmarks/segmentation_gland_phantom.py': SEGMENTATION,
    'configs/study/cellgan.py': STUDY_GENERATOR,
    'configs/study/classifier.py': STUDY_CLASSIFIER,
}


def write_small(scratch):
    """Write the small configs into a scratch folder, each on the one of the repository."""
    for name, text in SMALL.items():
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'_base_ = {str(REPO / name)!r}\n{text}')
    (scratch / 'configs/study/small.py').write_text(STUDY)
