"""Every bad input: what the checker says, and what training does, before the first step."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cell_images import (
    SIZE,
    encoded,
    make_folders,
    pixels,
    png_16_bit_rgb,
    png_bomb,
    save,
)
from PIL import Image, ImageFile
from torch.utils.data import DataLoader

from cellgan_plugin.datasets import CellPatchDataset, DatasetError, check_dataset
from cellgan_plugin.datasets.image_io import ImageFileError, load_image

CLASSES = ['A', 'B']
PIPELINE = [dict(type='FitCellPatch', out_size=SIZE)]


def _write(name, content):
    def make(root):
        (root / 'A' / name).write_bytes(content)

    return make


def _save(name, mode, **kwargs):
    def make(root):
        Image.fromarray(pixels(7)).convert(mode).save(root / 'A' / name, **kwargs)

    return make


def _array(name, array):
    return lambda root: Image.fromarray(array).save(root / 'A' / name)


def _palette_with_transparency(root):
    image = Image.fromarray(pixels(7)).quantize(8)
    image.save(root / 'A' / 'bad.png', transparency=0)


def _several_pages(root):
    pages = [Image.fromarray(pixels(i)) for i in (7, 8)]
    pages[0].save(root / 'A' / 'bad.tif', save_all=True, append_images=pages[1:])


def _outside_link(root):
    save(root.parent / 'secret.png', seed=7)
    os.symlink(root.parent / 'secret.png', root / 'A' / 'bad.png')


def _link_to_folder(root):
    save(root.parent / 'elsewhere' / 'x.png', seed=7)
    os.symlink(root.parent / 'elsewhere', root / 'A' / 'bad')


def _pipe(root):
    os.mkfifo(root / 'A' / 'bad.png')


def _truncated(extension, kept):
    content = encoded(extension, seed=7, size=64)
    return _write(f'bad{extension}', content[: int(len(content) * kept)])


# name, how it is made, kind of the problem
REFUSED = [
    ('zero bytes', _write('bad.png', b''), 'zero-byte'),
    ('text', _write('bad.png', b'not an image at all'), 'unreadable'),
    ('script as tif', _write('bad.tif', b'%!PS-Adobe-3.0 EPSF\n'), 'unreadable'),
    ('header only', _write('bad.png', encoded('.png')[:20]), 'truncated'),
    ('truncated jpg', _truncated('.jpg', 0.6), 'truncated'),
    ('almost whole jpg', _truncated('.jpg', 0.97), 'truncated'),
    ('truncated png', _truncated('.png', 0.6), 'truncated'),
    ('truncated bmp', _truncated('.bmp', 0.6), 'truncated'),
    ('truncated tif', _truncated('.tif', 0.6), None),
    ('truncated webp', _truncated('.webp', 0.6), None),
    ('bomb', _write('bad.png', png_bomb()), 'too large'),
    ('large', _array('bad.png', np.zeros((300, 400, 3), np.uint8)), 'too large'),
    ('16-bit grey png', _array('bad.png', np.full((SIZE, SIZE), 3000, np.uint16)), '16-bit'),
    ('16-bit rgb png', _write('bad.png', png_16_bit_rgb()), '16-bit'),
    ('16-bit grey tif', _array('bad.tif', np.full((SIZE, SIZE), 3000, np.uint16)), '16-bit'),
    ('float tif', _array('bad.tif', np.zeros((SIZE, SIZE), np.float32)), '16-bit'),
    ('cmyk jpg', _save('bad.jpg', 'CMYK'), 'CMYK'),
    ('cmyk tif', _save('bad.tif', 'CMYK'), 'CMYK'),
    ('lab tif', _save('bad.tif', 'LAB'), 'colour mode'),
    ('pages', _several_pages, 'several frames'),
    ('link', _outside_link, 'outside'),
    ('linked folder', _link_to_folder, 'outside'),
    ('pipe', _pipe, 'unreadable'),
]
CONVERTED = [
    ('palette', _save('bad.png', 'P'), 'palette'),
    ('palette with transparency', _palette_with_transparency, 'palette'),
    ('rgba', _save('bad.png', 'RGBA'), 'alpha'),
    ('grey and alpha', _save('bad.png', 'LA'), 'alpha'),
    ('grey', _save('bad.png', 'L'), 'grayscale'),
    ('grey jpg', _save('bad.jpg', 'L'), 'grayscale'),
    ('one bit', _save('bad.png', '1'), 'bilevel'),
    ('small', lambda root: save(root / 'A' / 'bad.png', seed=7, size=16), 'enlarged'),
]


def dataset(root, **kwargs):
    kwargs = {'pipeline': PIPELINE, 'metainfo': dict(classes=CLASSES), **kwargs}
    return CellPatchDataset(data_root=str(root), max_pixels=100_000, **kwargs)


@pytest.fixture
def root(tmp_path):
    return make_folders(tmp_path / 'data')


def found(root, **kwargs):
    report = check_dataset(dataset(root, lazy_init=True, **kwargs))
    return report, [p for p in report.problems if p.kind != 'few images']


@pytest.mark.parametrize('make, kind', [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED])
def test_refused_by_checker_and_before_training(root, make, kind):
    make(root)
    report, problems = found(root)
    assert report.harmful
    assert len(problems) == 1
    assert problems[0].severity == 'error'
    # Pillow words a cut TIFF or WebP as it pleases.
    assert problems[0].kind in ([kind] if kind else ['truncated', 'unreadable'])
    assert os.path.join('A', 'bad') in problems[0].where
    for options in (dict(), dict(check='full'), dict(cache='ram'), dict(cache='ram', check='none')):
        with pytest.raises(DatasetError, match=r'A/bad') as caught:
            dataset(root, **options)
        assert [p.kind for p in caught.value.problems] == [problems[0].kind]
        assert 'check_dataset.py' in str(caught.value)


@pytest.mark.parametrize(
    'make, kind', [case[1:] for case in CONVERTED], ids=[c[0] for c in CONVERTED]
)
def test_converted_and_said(root, make, kind, mocker_log):
    make(root)
    report, problems = found(root)
    assert not report.harmful
    assert [(p.severity, p.kind) for p in problems] == [('warning', kind)]
    images = dataset(root)
    assert len([text for text in mocker_log if 'A/bad' in text]) == 1
    for index in range(len(images)):
        assert images[index]['img'].shape == (SIZE, SIZE, 3)
        assert images[index]['img'].dtype == np.uint8


@pytest.fixture
def mocker_log(monkeypatch):
    said = []
    monkeypatch.setattr(
        'cellgan_plugin.datasets.problems.print_log', lambda text, *_, **__: said.append(text)
    )
    return said


def test_conversions_are_said_once_per_kind(root, mocker_log):
    for i in range(5):
        Image.fromarray(pixels(50 + i)).convert('L').save(root / 'A' / f'grey{i}.png')
    dataset(root)
    assert len(mocker_log) == 1
    assert '5 such files' in mocker_log[0]


def test_alpha_is_composited_on_white_and_opaque_alpha_is_dropped(root):
    opaque = pixels(7)
    rgba = np.dstack([opaque, np.full((SIZE, SIZE), 255, np.uint8)])
    rgba[0, 0, 3] = 0
    Image.fromarray(rgba).save(root / 'A' / 'z.png')
    images = dataset(root)
    image = next(images[i]['img'] for i in range(len(images)) if 'z.png' in images[i]['img_path'])
    assert (image[0, 0] == 255).all()
    np.testing.assert_array_equal(image[1:], opaque[1:])


def test_without_check_the_loader_names_the_file(root):
    (root / 'A' / 'bad.jpg').write_bytes(encoded('.jpg', size=64)[:1500])
    images = dataset(root, check='none')
    index = next(i for i in range(len(images)) if images.get_data_info(i)['file'] == 'A/bad.jpg')
    with pytest.raises(DatasetError, match='A/bad.jpg.*truncated') as caught:
        images[index]
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_loader_worker_names_the_file_once(root):
    bad = root / 'A' / '0.png'
    bad.write_bytes(bad.read_bytes()[:-300])
    loader = DataLoader(dataset(root, check='none'), num_workers=1, collate_fn=list)
    with pytest.raises(DatasetError) as error:
        list(loader)
    message = str(error.value)
    assert message.count(str(bad)) == 1
    assert message.startswith('The data set cannot be used (1 problem):\n  - ')
    assert len(message.splitlines()) == 3
    assert str(pickle.loads(pickle.dumps(error.value))) == message


def test_max_pixels_alone_decides_what_is_too_large(root, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)  # Pillow refuses twice that
    path = str(root / 'A' / '0.png')
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda _: load_image(path, max_pixels=SIZE * SIZE), range(20)))
    assert all(image.shape == (SIZE, SIZE, 3) for image in images)
    with pytest.raises(ImageFileError, match='declares 32x32 pixels.*raise max_pixels.*convert'):
        load_image(path, max_pixels=SIZE * SIZE - 1)
    assert Image.MAX_IMAGE_PIXELS == 10
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', None)
    with pytest.raises(ImageFileError):
        load_image(path, max_pixels=100)


def test_truncation_is_found_although_another_package_allows_it(root, monkeypatch):
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
    (root / 'A' / 'bad.jpg').write_bytes(encoded('.jpg', size=64)[:1500])
    with pytest.raises(DatasetError, match='truncated'):
        dataset(root)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_links_are_followed_when_asked(root):
    _outside_link(root)
    _link_to_folder(root)
    os.symlink(root / 'A', root / 'A' / 'loop')
    images = dataset(root, follow_links=True)
    files = [images.get_data_info(i)['file'] for i in range(len(images))]
    assert {'A/bad.png', 'A/bad/x.png'} <= set(files)
    assert not any('loop' in file for file in files)


def test_a_linked_data_root_is_fine(root, tmp_path):
    os.symlink(root, tmp_path / 'link')
    assert len(dataset(tmp_path / 'link')) == 8


def test_all_errors_at_once(root):
    for i in range(20):
        (root / 'A' / f'bad{i}.png').write_bytes(b'')
    with pytest.raises(DatasetError, match=r'20 problems') as caught:
        dataset(root)
    assert len(caught.value.problems) == 20
    assert '12 more' in str(caught.value)


def test_crop_larger_than_an_image(root):
    save(root / 'B' / 'bad.png', size=16)
    pipeline = [dict(type='FitCellPatch', out_size=SIZE, policy='crop')]
    report, problems = found(root, pipeline=pipeline)
    assert report.harmful and [p.kind for p in problems] == ['wrong size']
    with pytest.raises(DatasetError, match='bad.png: is 16x16, smaller than the crop'):
        dataset(root, pipeline=pipeline)


def test_uneven_sizes_without_a_fitting_transform(root):
    save(root / 'B' / 'bad.png', size=16)
    report, problems = found(root, pipeline=[])
    assert report.harmful and [p.kind for p in problems] == ['wrong size']
    with pytest.raises(DatasetError, match='B/bad.png: is 16x16.*FitCellPatch'):
        dataset(root, pipeline=[])


def test_same_image_in_two_classes(root):
    (root / 'B' / 'bad.png').write_bytes((root / 'A' / '0.png').read_bytes())
    report, problems = found(root)
    assert report.harmful and [p.kind for p in problems] == ['two classes']
    with pytest.raises(DatasetError, match="A/0.png, in class 'A' and again in 'B'"):
        dataset(root)


def test_same_pixels_in_another_format_are_found_by_the_checker(root):
    Image.open(root / 'A' / '0.png').save(root / 'B' / 'bad.bmp')
    report, problems = found(root)
    assert [p.kind for p in problems] == ['two classes']


def test_duplicate_within_a_class_is_a_warning(root):
    (root / 'A' / 'z.png').write_bytes((root / 'A' / '0.png').read_bytes())
    report, problems = found(root)
    assert not report.harmful
    assert [(p.severity, p.kind) for p in problems] == [('warning', 'duplicate')]
    dataset(root)


def _manifest(root, rows, header='file,label,split,group'):
    (root / 'manifest.csv').write_text('\n'.join([header, *rows]) + '\n')


def test_same_image_and_same_group_in_two_splits(root):
    (root / 'A' / 'z.png').write_bytes((root / 'A' / '0.png').read_bytes())
    rows = ['A/0.png,A,train,s1', 'A/1.png,A,train,s2', 'B/0.png,B,train,s3']
    rows += ['A/z.png,A,val,s4', 'B/1.png,B,val,s2']
    _manifest(root, rows)
    report, problems = found(root, ann_file='manifest.csv', split='train')
    assert sorted(p.kind for p in problems) == ['group in two splits', 'two splits']
    assert report.harmful
    assert report.counts['train'] == {'A': 2, 'B': 1}
    assert report.counts['val'] == {'A': 1, 'B': 1}

    with pytest.raises(DatasetError) as error:
        dataset(root, ann_file='manifest.csv', split='train')
    group, twice = sorted(error.value.problems, key=lambda p: p.kind)
    assert (group.kind, twice.kind) == ('group in two splits', 'two splits')
    assert group.where == str(root / 'B/1.png') and str(root / 'A/1.png') in group.message
    assert twice.where == str(root / 'A/z.png') and str(root / 'A/0.png') in twice.message
    dataset(root, ann_file='manifest.csv', split='val', test_mode=True)
    dataset(root, ann_file='manifest.csv', split='train', check='none')


def test_splits_that_share_nothing_or_lack_files(root):
    rows = ['A/0.png,A,train,s1', 'B/0.png,B,train,', 'A/1.png,A,val,s2', 'B/1.png,B,val,']
    _manifest(root, [*rows, 'B/gone.png,B,test,s9'])
    assert len(dataset(root, ann_file='manifest.csv', split='train')) == 2
    # Of equal size and end, but not the same file.
    for i, name in enumerate(('A/0.bmp', 'A/1.bmp')):
        image = np.zeros((64, 64, 3), np.uint8)
        image[-1] = i  # BMP stores the last row first
        Image.fromarray(image).save(root / name)
    _manifest(root, [*rows, 'A/0.bmp,A,train,', 'A/1.bmp,A,val,'])
    assert len(dataset(root, ann_file='manifest.csv', split='train')) == 3


def test_class_folders_beside_a_manifest_with_splits_are_warned_of(root, mocker_log):
    _manifest(root, ['A/0.png,A,train,', 'B/0.png,B,val,'])
    assert len(dataset(root)) == 8
    assert len(mocker_log) == 1
    assert "Read one with ann_file='manifest.csv', split='train'" in mocker_log[0]
    assert [p.kind for p in found(root)[0].problems if p.severity == 'warning'].count('split') == 1
    mocker_log.clear()
    for rows in (['A/0.png,A,train,', 'B/0.png,B,train,'], ['not,enough']):
        _manifest(root, rows)
        dataset(root)
    assert not mocker_log


def test_same_image_in_the_data_set_of_another_loader(root, tmp_path):
    other = make_folders(tmp_path / 'val')
    train = dataset(root, lazy_init=True)
    val = dataset(other, lazy_init=True, test_mode=True)
    report = check_dataset(train, dict(val=val))
    assert {p.kind for p in report.problems if p.severity == 'error'} == {'two splits'}
    report = check_dataset(train, dict(val=dataset(root, lazy_init=True)))
    assert not report.harmful
    assert len(report.of_kind('shared files')) == 1


@pytest.mark.parametrize('kind', ['missing folder', 'missing list', 'split', 'empty class'])
def test_problems_of_the_whole_set(root, kind):
    options, words = {
        'missing folder': (dict(data_root='gone'), 'tools/dataset_converters/phantom.py'),
        'missing list': (dict(ann_file='gone.csv'), 'tools/dataset_converters/cric.py'),
        'split': (dict(split='train'), 'needs a CSV manifest'),
        'empty class': (dict(metainfo=dict(classes=['A', 'B', 'C'])), "class 'C' has no image"),
    }[kind]
    options = {'data_root': str(root), 'metainfo': dict(classes=CLASSES), **options}
    report = check_dataset(CellPatchDataset(lazy_init=True, **options))
    assert report.harmful and len(report.of_kind(kind)) == 1
    with pytest.raises(DatasetError, match=words):
        CellPatchDataset(**options)


def test_empty_class_is_a_warning_for_evaluation(root):
    images = dataset(root, metainfo=dict(classes=['A', 'B', 'C']), test_mode=True)
    assert images.class_counts() == {'A': 4, 'B': 4, 'C': 0}


def test_unknown_class_folder(root):
    save(root / 'SCC' / '0.png', seed=5)
    save(root / '_rejected' / '0.png', seed=6)
    save(root / '.cache' / '0.png', seed=6)
    report, problems = found(root)
    kinds = ['unknown class', 'unknown class', 'not read']  # SCC, _rejected; .cache is hidden
    assert report.harmful and [p.kind for p in problems] == kinds
    with pytest.raises(DatasetError, match="folder 'SCC' .1 images. is none of .*extra_classes"):
        dataset(root)
    assert len(dataset(root, extra_classes='skip')) == 8
    report, problems = found(root, extra_classes='skip')
    assert not report.harmful


@pytest.mark.parametrize(
    'name, text, words',
    [
        ('m.csv', 'image,label\nA/0.png,A\n', 'column file is missing'),
        ('m.csv', 'file,label\n../x.png,A\n', 'row 2: .*leaves the folder'),
        ('m.csv', 'file,label\n/etc/passwd,A\n', 'leaves the folder'),
        ('m.csv', 'file,label\nA/0.png,A\nA//0.png,A\n', 'already named in row 2'),
        ('m.csv', 'file,label\nA/0.png,A,x\n', 'number of fields'),
        ('m.csv', 'file,label\n', 'no row below'),
        ('m.csv', 'file,label\nA/0.png,X\nB/0.png,B\n', "row 2: class 'X' .1 images. is none of"),
        ('m.csv', 'file,label\nA/gone.png,A\nB/0.png,B\n', 'A/gone.png: does not exist'),
        ('l.txt', 'A/0.png\n../B/0.png\n', 'line 2: .*leaves the data folder'),
        ('l.txt', 'A/0.png\n0.png\n', 'line 2: .*names no class'),
        ('l.txt', 'A/0.png\nA/0.png\n', 'already named in line 1'),
        ('l.txt', '# nothing\n\n', 'names no image'),
        ('l.txt', 'C/0.png\n', "class 'C' .1 images. is none of"),
    ],
)
def test_bad_lists(root, name, text, words):
    (root / name).write_text(text)
    report, _ = found(root, ann_file=name)
    assert report.harmful
    with pytest.raises(DatasetError, match=words):
        dataset(root, ann_file=name)


HOSTILE = [
    '../secret.png', 'A/../../secret.png', './../secret.png', 'A/./../../secret.png',
    '/secret.png', '//secret.png', '/../secret.png', '..', '.', 'A/..', 'A/../..',
    'A/%2e%2e/%2e%2e/secret.png', '~/secret.png', '$HOME/secret.png', '`touch owned`.png',
    '$(touch owned).png', ';touch owned;.png', '|touch owned', 'A/0.png|touch owned',
    'file:///etc/passwd', 'http://127.0.0.1/x.png', r'..\..\secret.png', r'C:\secret.png',
    r'\\host\share\x.png', 'A/0.png\x00.txt', 'CON', 'A/' + 'x' * 300 + '.png', '-rf', '=cmd|x',
]  # fmt: skip


@pytest.mark.parametrize('file', HOSTILE)
@pytest.mark.parametrize('name', ['m.csv', 'l.txt'])
def test_paths_that_lead_elsewhere_are_refused(root, name, file, monkeypatch):
    save(root.parent / 'secret.png', seed=7)
    monkeypatch.chdir(root)
    row = f'file,label\nA/0.png,A\nB/0.png,B\n"{file}",A\n' if name == 'm.csv' else f'{file}\n'
    (root / name).write_text(row)
    with pytest.raises(DatasetError):
        dataset(root, ann_file=name)
    report, _ = found(root, ann_file=name)
    assert report.harmful
    assert not list(root.rglob('owned'))


def test_lists_that_are_not_text(root):
    for name in ('m.csv', 'l.txt'):
        (root / name).write_bytes(b'file,label\n\xff\xfe,A\n')
        with pytest.raises(DatasetError, match='not UTF-8'):
            dataset(root, ann_file=name)


def test_list_of_another_kind(root):
    (root / 'list.json').write_text('[]')
    with pytest.raises(DatasetError, match='list.json: ann_file is .* or a .csv manifest'):
        dataset(root, ann_file='list.json')


def test_folder_that_cannot_be_read(root, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith('B'):
            raise PermissionError(13, 'Permission denied', str(path))
        return real(path)

    monkeypatch.setattr('cellgan_plugin.datasets.sources.os.scandir', scandir)
    with pytest.raises(DatasetError, match='data/B: cannot be read .Permission denied'):
        dataset(root)


def test_split_that_is_not_there(root):
    _manifest(root, ['A/0.png,A,train,', 'B/0.png,B,train,'])
    with pytest.raises(DatasetError, match=r"no row has split 'val'; there are \{'train': 2\}"):
        dataset(root, ann_file='manifest.csv', split='val')
    (root / 'plain.csv').write_text('file,label\nA/0.png,A\n')
    with pytest.raises(DatasetError, match='no split column'):
        dataset(root, ann_file='plain.csv', split='val')


def test_cache_that_would_not_fit(root, monkeypatch):
    monkeypatch.setattr('cellgan_plugin.datasets.memory.available_memory', lambda: 10_000)
    with pytest.raises(MemoryError, match='keeping 8 decoded images .* cache=None'):
        dataset(root, cache='ram')
    monkeypatch.setattr('cellgan_plugin.datasets.memory.available_memory', lambda: 60_000)
    dataset(root, cache='ram')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '8')
    with pytest.raises(MemoryError, match='in each of 8 processes'):
        dataset(root, cache='ram')


@pytest.mark.parametrize(
    'options',
    [dict(channels=4), dict(cache='disk'), dict(check='maybe'), dict(extra_classes='ignore')],
)
def test_wrong_options_name_themselves(root, options):
    with pytest.raises(ValueError, match=f'CellPatchDataset: {next(iter(options))} must be one of'):
        dataset(root, **options)
