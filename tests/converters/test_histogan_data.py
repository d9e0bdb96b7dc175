"""What the converters write is what the configs of HistoGAN and of its classifiers read."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from mmagic.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from cellgan_plugin.converters import convert_folders, convert_glas_tiles, convert_pcam
from cellgan_plugin.phantom import write_phantom_dataset

CONFIGS = Path(__file__).parents[2] / 'configs'


def noise(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def make_pcam(source, out):
    for split in ('train', 'valid', 'test'):
        stem = source / f'camelyonpatch_level_2_split_{split}'
        labels = np.arange(8) % 2
        with h5py.File(f'{stem}_x.h5', 'w') as file:
            file['x'] = np.stack([noise(hash((split, i)) % 2**31, 96, 96) for i in range(8)])
        with h5py.File(f'{stem}_y.h5', 'w') as file:
            file['y'] = labels.astype(np.uint8)
        rows = ''.join(f'{split}_{i // 4}\n' for i in range(8))
        Path(f'{stem}_meta.csv').write_text('wsi\n' + rows)
    convert_pcam(source, out, progress=False)


def make_cervical(source, out):
    table = ['file,label,patient']
    for number in range(24):
        Image.fromarray(noise(number, 64, 40)).save(source / f'{number}.png')
        table.append(f'{number}.png,{("Normal", "CIN1", "CIN2", "CIN3")[number % 4]},{number // 4}')
    (source.parent / 'patches.csv').write_text('\n'.join(table))
    convert_folders(source, out, size=(256, 128), table=source.parent / 'patches.csv',
                    fractions=(0.5, 0.25, 0.25), progress=False)  # fmt: skip


def make_glas(source, out):
    table = ['name,patient ID,grade (GlaS),grade (Sirinukunwattana et al. 2015)']
    for folder in ('images', 'masks'):
        (source / folder).mkdir()
    for number in range(12):
        Image.fromarray(noise(number, 80, 80)).save(source / 'images' / f'train_{number + 1}.png')
        mask = np.ones((80, 80), np.uint8)
        Image.fromarray(mask).save(source / 'masks' / f'train_{number + 1}.png')
        kind = ('benign,healthy', 'malignant,poorly differentiated')[number % 2]
        table.append(f'train_{number + 1},{number + 1},{kind}')
    (source / 'Grade.csv').write_text('\n'.join(table))
    convert_glas_tiles(source, out, tile=72, progress=False)


def make_tissue(source, out):
    write_phantom_dataset(out, (64, 32), splits={'train': 2, 'val': 1}, kind='tissue')


@pytest.mark.parametrize(
    'name, make, variable, shape, configs',
    (
        ('pcam', make_pcam, 'CELLGAN_PCAM_ROOT', (3, 96, 96),
         ('histogan/histogan_pcam_fd', 'classifiers/resnet34_pcam')),
        ('cervical', make_cervical, 'CELLGAN_CERVICAL_ROOT', (3, 256, 128),
         ('histogan/histogan_cervical_fd', 'classifiers/resnet34_cervical')),
        ('glas', make_glas, 'CELLGAN_GLAS_TILES_ROOT', (3, 64, 64),
         ('histogan/histogan_glas_fd', 'classifiers/resnet18_glas_tiles')),
        ('tissue', make_tissue, 'CELLGAN_TISSUE_ROOT', (3, 64, 32),
         ('histogan/histogan_tissue_phantom_fd', 'classifiers/resnet18_tissue_phantom')),
    ),
)  # fmt: skip
def test_configs_read_what_converters_write(
    tmp_path, monkeypatch, name, make, variable, shape, configs
):
    source = tmp_path / 'source'
    source.mkdir()
    make(source, tmp_path / name)
    monkeypatch.setenv(variable, str(tmp_path / name))
    for file in configs:
        config = Config.fromfile(CONFIGS / f'{file}.py')
        with DefaultScope.overwrite_default_scope(config.default_scope):
            for loader in (config.train_dataloader, config.val_dataloader):
                dataset = DATASETS.build(loader.dataset)
                labels = dataset.get_labels()
                assert set(labels) == set(range(len(dataset.metainfo['classes']))), file
                sample = dataset[0]['inputs']
                image = sample['img'] if isinstance(sample, dict) else sample
                assert tuple(image.shape) == shape, file
