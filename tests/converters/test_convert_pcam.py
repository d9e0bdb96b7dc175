import csv
import gzip
import runpy
from collections import Counter
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from programs import run_program

from cellgan_plugin.converters import ConverterError, convert_pcam, pcam_files
from cellgan_plugin.datasets.manifest import read_manifest

CLI = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'pcam.py'
SIZES = {'train': 60, 'valid': 12, 'test': 12}


def stem(split):
    return f'camelyonpatch_level_2_split_{split}'


def slide_of(split, index):
    return f'camelyon16_{split}_{index % 6:03d}'


def write_meta(folder, split, labels, column='wsi', name=slide_of):
    with open(folder / f'{stem(split)}_meta.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['', 'coord_y', 'coord_x', 'tumor_patch', 'center_tumor_patch', column])
        for index, label in enumerate(labels):
            writer.writerow([index, 7, 9, bool(label), bool(label), name(split, index)])


def images_of(split, count):
    """Every image is of one colour that tells its split and number."""
    number = np.arange(count, dtype=np.uint8)
    colour = np.stack([number, 255 - number, np.full(count, len(split), np.uint8)], axis=1)
    return np.broadcast_to(colour[:, None, None], (count, 96, 96, 3))


@pytest.fixture
def archive(tmp_path):
    """The published files, small: two classes, six slides a split."""
    folder = tmp_path / 'pcam'
    folder.mkdir()
    for split, count in SIZES.items():
        labels = (np.arange(count) // 2 % 2).astype(np.uint8)
        with h5py.File(folder / f'{stem(split)}_x.h5', 'w') as file:
            file.create_dataset('x', data=images_of(split, count), chunks=(4, 96, 96, 3),
                                compression='gzip')  # fmt: skip
        with h5py.File(folder / f'{stem(split)}_y.h5', 'w') as file:
            file['y'] = labels.reshape(-1, 1, 1, 1)
        write_meta(folder, split, labels)
    return folder


def refused(archive, tmp_path, match, **kwargs):
    with pytest.raises(ConverterError, match=match):
        convert_pcam(archive, tmp_path / 'out', progress=False, **kwargs)
    assert not list((tmp_path / 'out').rglob('*.png'))


def train_numbers(result):
    return {int(row['source'].rpartition(':')[2]) for row in result.rows if row['split'] == 'train'}


def test_everything_as_published(archive, tmp_path):
    result = convert_pcam(archive, tmp_path / 'out', progress=False)
    rows = read_manifest(result.manifest)
    assert Counter(row['split'] for row in rows) == {'train': 60, 'val': 12, 'test': 12}
    for row in rows:
        split = {'val': 'valid'}.get(row['split'], row['split'])
        index = int(row['source'].rpartition(':')[2])
        assert row['label'] == ('normal', 'tumor')[index // 2 % 2]
        assert row['group'] == slide_of(split, index)
        image = cv2.imread(str(tmp_path / 'out' / row['file']))[..., ::-1]
        np.testing.assert_array_equal(image, images_of(split, SIZES[split])[index])


def test_a_share_of_patches_keeps_the_balance_and_is_part_of_a_larger_one(archive, tmp_path):
    shares = {}
    for fraction in (0.1, 0.2, 0.5):
        result = convert_pcam(
            archive, tmp_path / str(fraction), fraction=fraction, seed=3, progress=False
        )
        shares[fraction] = train_numbers(result)
        labels = Counter(row['label'] for row in result.rows if row['split'] == 'train')
        assert labels == {'normal': 30 * fraction, 'tumor': 30 * fraction}
        assert Counter(row['split'] for row in result.rows)['test'] == 12  # whole
    assert shares[0.1] < shares[0.2] < shares[0.5]
    again = convert_pcam(archive, tmp_path / 'again', fraction=0.2, seed=3, progress=False)
    other = convert_pcam(archive, tmp_path / 'other', fraction=0.2, seed=4, progress=False)
    assert train_numbers(again) == shares[0.2] != train_numbers(other)


def test_a_share_of_slides_keeps_whole_slides(archive, tmp_path):
    found = []
    for fraction in (0.34, 0.5):
        result = convert_pcam(
            archive, tmp_path / str(fraction), fraction=fraction, unit='groups', progress=False
        )
        groups = Counter(row['group'] for row in result.rows if row['split'] == 'train')
        assert set(groups.values()) == {10}  # every slide whole
        found.append(set(groups))
    assert len(found[0]) == 2 and len(found[1]) == 3 and found[0] < found[1]


def test_patients_go_before_slides(archive, tmp_path):
    for split, count in SIZES.items():
        labels = np.arange(count) // 2 % 2
        write_meta(archive, split, labels, 'patient', lambda split, i: f'{split}-{i % 3}')
    result = convert_pcam(archive, tmp_path / 'out', splits=('train',), progress=False)
    assert {row['group'] for row in result.rows} == {'train-0', 'train-1', 'train-2'}


def test_reading_one_by_one_and_in_blocks_gives_the_same(archive, monkeypatch):
    split = pcam_files.open_split(archive, 'train')
    for block in (7, 256):  # few of many: one by one; all: in blocks
        monkeypatch.setattr(pcam_files, '_BLOCK_ROWS', block)
        for wanted in (range(60), (0, 13, 59), (58, 59)):
            found = dict(pcam_files.iter_images(split, wanted))
            assert list(found) == list(wanted)
            for index, image in found.items():
                np.testing.assert_array_equal(image, images_of('train', 60)[index])


def test_an_interrupted_run_goes_on(archive, tmp_path, monkeypatch):
    whole = convert_pcam(archive, tmp_path / 'whole', fraction=0.2, progress=False)
    from cellgan_plugin.converters import pcam

    real, written = pcam.write_png, []

    def stop_at_the_fourth(path, image):
        written.append(path)
        if len(written) == 4:
            raise KeyboardInterrupt
        real(path, image)

    monkeypatch.setattr(pcam, 'write_png', stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        convert_pcam(archive, tmp_path / 'out', fraction=0.2, progress=False)
    assert not (tmp_path / 'out' / 'manifest.csv').exists()
    convert_pcam(archive, tmp_path / 'out', fraction=0.2, progress=False)
    assert len(written) == 4 + len(whole.rows) - 3
    for row in whole.rows:
        parts = [(tmp_path / name / row['file']).read_bytes() for name in ('whole', 'out')]
        assert parts[0] == parts[1]
    with pytest.raises(ConverterError, match='fraction: 0.2 there, 0.5 now'):
        convert_pcam(archive, tmp_path / 'out', fraction=0.5, progress=False)


def test_missing_files(archive, tmp_path):
    meta = archive / f'{stem("valid")}_meta.csv'
    meta.unlink()
    refused(archive, tmp_path, 'valid_meta.csv: no such file.*--without-meta')
    result = convert_pcam(archive, tmp_path / 'no-meta', with_meta=False, progress=False)
    assert len({row['group'] for row in result.rows}) == len(result.rows)
    assert any('WARNING' in line for line in result.lines)
    refused(archive, tmp_path, 'leave --without-meta out', with_meta=False, unit='groups',
            fraction=0.5)  # fmt: skip
    labels = archive / f'{stem("train")}_y.h5'
    with gzip.open(f'{labels}.gz', 'wb') as file:
        file.write(labels.read_bytes())
    labels.unlink()
    refused(archive, tmp_path, 'y.h5.gz: is still compressed; unpack it with gunzip')
    Path(f'{labels}.gz').unlink()
    refused(archive, tmp_path, 'y.h5: no such file')
    refused(tmp_path / 'nowhere', tmp_path, 'no such folder')


@pytest.mark.parametrize('part', (0.3, 0.9))
def test_a_truncated_file(archive, tmp_path, part):
    path = archive / f'{stem("train")}_x.h5'
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    refused(archive, tmp_path, 'not a whole HDF5 file.*download it again')


def test_damaged_pixels(archive, tmp_path):
    path = archive / f'{stem("train")}_x.h5'
    with h5py.File(path) as file:
        info = file['x'].id.get_chunk_info(3)
    data = bytearray(path.read_bytes())
    data[info.byte_offset : info.byte_offset + info.size] = b'\x55' * info.size
    path.write_bytes(data)
    with pytest.raises(ConverterError, match='x is damaged'):
        convert_pcam(archive, tmp_path / 'out', progress=False)
    assert not (tmp_path / 'out' / 'manifest.csv').exists()


def test_a_picture_is_no_archive(archive, tmp_path):
    (archive / f'{stem("test")}_x.h5').write_bytes(b'\x89PNG not HDF5')
    refused(archive, tmp_path, 'test_x.h5: not a whole HDF5 file')


def rewrite(archive, split, key, **content):
    with h5py.File(archive / f'{stem(split)}_{key}.h5', 'w') as file:
        for name, data in content.items():
            file[name] = data


@pytest.mark.parametrize(
    'key, content, match',
    (
        ('x', {'y': np.zeros(60, np.uint8)}, "no data set 'x'; its keys are y"),
        ('x', {'x': np.zeros((60, 96, 96), np.uint8)}, r'expected uint8 \(n, 96, 96, 3\)'),
        ('x', {'x': np.zeros((60, 64, 64, 3), np.uint8)}, r'\(60, 64, 64, 3\)'),
        ('x', {'x': np.zeros((6, 96, 96, 3), np.float32)}, 'float32'),
        ('x', {'x/deep': np.zeros(3)}, 'no data set of this file'),
        ('x', {'x': h5py.ExternalLink('other.h5', 'x')}, 'a link elsewhere'),
        ('x', {'x': h5py.SoftLink('/x2'), 'x2': np.zeros(3)}, 'a link elsewhere'),
        ('y', {'y': np.zeros((59, 1, 1, 1), np.uint8)}, r'expected whole numbers \(60, 1, 1, 1\)'),
        ('y', {'y': np.zeros(60, np.float32)}, 'y is float32'),
        ('y', {'y': np.full(60, 2, np.uint8)}, 'labels 2; expected 0 .* and 1'),
        ('y', {'y': np.uint8(1)}, r'shape \(\)'),
    ),
)
def test_wrong_keys_and_shapes(archive, tmp_path, key, content, match):
    rewrite(archive, 'train', key, **content)
    refused(archive, tmp_path, match)


def test_data_in_other_files_and_giant_chunks_are_refused(archive, tmp_path):
    path = archive / f'{stem("train")}_x.h5'
    with h5py.File(path, 'w') as file:
        file.create_dataset(
            'x', (60, 96, 96, 3), np.uint8, external=[('/etc/passwd', 0, h5py.h5f.UNLIMITED)]
        )
    refused(archive, tmp_path, 'takes its data from other files')
    with h5py.File(path, 'w') as file:
        layout = h5py.VirtualLayout((60, 96, 96, 3), np.uint8)
        layout[:] = h5py.VirtualSource(str(tmp_path / 'other.h5'), 'x', (60, 96, 96, 3))
        file.create_virtual_dataset('x', layout)
    refused(archive, tmp_path, 'takes its data from other files')
    with h5py.File(path, 'w') as file:
        # A few bytes on disk, 1.4 GB in memory.
        file.create_dataset('x', (52_000, 96, 96, 3), np.uint8, chunks=(52_000, 96, 96, 3),
                            compression='gzip')  # fmt: skip
    refused(archive, tmp_path, 'too much memory')


def edit_meta(archive, split, change):
    path = archive / f'{stem(split)}_meta.csv'
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    'change, match',
    (
        (lambda text: text.replace('wsi', 'slide'), 'no column patient or wsi; the header is'),
        (lambda text: text.rpartition('59,')[0], 'has 59 rows, but there are 60 labels'),
        (lambda text: text.replace('True', 'False'), 'row 4: center_tumor_patch is false, but'),
        (lambda text: text.replace('\n7,', '\n8,'), 'row 9: is numbered 8; expected 7'),
        (lambda text: text.replace('camelyon16_train_002', ' ', 1), "wsi is ' '; expected a name"),
        (lambda text: text[:400], 'number of fields differs'),
    ),
)
def test_a_table_that_does_not_fit(archive, tmp_path, change, match):
    edit_meta(archive, 'train', change)
    refused(archive, tmp_path, match)


def test_a_slide_on_two_sides(archive, tmp_path):
    edit_meta(archive, 'test', lambda text: text.replace('test_003', 'train_003'))
    refused(archive, tmp_path, r'1 wsi\(s\) are in two splits: camelyon16_train_003 \(train and '
            r'test\)')  # fmt: skip


@pytest.mark.parametrize(
    'kwargs, match',
    (
        ({'fraction': 0}, 'fraction is 0'),
        ({'fraction': 1.5}, 'fraction is 1.5'),
        ({'held_out_fraction': float('nan')}, 'held-out fraction is nan'),
        ({'unit': 'pixels'}, 'expected one of patches, groups'),
        ({'splits': ('train', 'valid')}, 'expected some of train, val, test'),
        ({'fraction': 0.01}, 'leaves no normal and no tumor patch; raise the fraction'),
    ),
)
def test_bad_arguments(archive, tmp_path, kwargs, match):
    refused(archive, tmp_path, match, **kwargs)


def test_the_tool(archive, tmp_path, capsys):
    arguments = [str(archive), '--out', str(tmp_path / 'out'), '--fraction', '0.2']
    arguments += ['--held-out-fraction', '0.5', '--splits', 'train', 'val']
    done = run_program(CLI, *arguments)
    assert '18 images written' in done.stdout and "column 'wsi'" in done.stdout
    (archive / f'{stem("valid")}_y.h5').unlink()
    tool = runpy.run_path(str(CLI))
    assert tool['main'](arguments) == 2
    assert 'pcam.py: error: ' in capsys.readouterr().err
