"""Names are identities: of classes, of files, of folders."""

import csv
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cellgan_plugin.benchmark.synthetic import data_folder_files
from cellgan_plugin.converters.common import ConverterError
from cellgan_plugin.converters.folders import convert_folders
from cellgan_plugin.datasets import CellPatchDataset, check_class_names, resolve_class
from cellgan_plugin.datasets.checks import check_dataset
from cellgan_plugin.datasets.file_names import fit_name, is_hidden, on_disk
from cellgan_plugin.datasets.manifest import read_manifest
from cellgan_plugin.datasets.problems import DatasetError
from cellgan_plugin.datasets.sources import list_patches
from cellgan_plugin.datasets.whole_images import MaskMeaning, WholeImage, files_by_name
from cellgan_plugin.files import atomic_write
from cellgan_plugin.runs.evaluate_folders import classes_of, find_folder
from cellgan_plugin.selection.image_tree import read_tree

rng = np.random.default_rng(0)


def draw(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    pixels.save(path, 'JPEG' if path.suffix.lower() in ('.jpg', '.jfif', '.jpe') else None)
    return path


def tree(root: Path, *folders: str, images: int = 3) -> Path:
    for folder in folders:
        for index in range(images):
            draw(root / folder / f'{index}.png')
    return root


def kinds(listing) -> set:
    return {(p.kind, p.severity) for p in listing.problems}


# Classes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'spelling, classes, expected',
    [
        ('ER-', ['ER+', 'normal'], None),
        ('ER', ['ER+', 'ER-'], None),
        ('ER-', ['ER+', 'ER-'], 'ER-'),
        ('er+', ['ER+', 'ER-'], 'ER+'),
        ('ER-', ['ER'], None),
        ('非HSIL', ['NILM', 'HSIL'], None),
        ('HSIL待定', ['NILM', 'HSIL'], None),
        ('癌', ['正常', 'HSIL'], None),
        ('正常', ['正常', 'HSIL'], '正常'),
        ('-1', ['0', '1'], None),
        ('1.0', ['1', '10'], None),
        ('1_0', ['1', '10'], None),
        ('2-3', ['23', '2 3'], '2 3'),
        ('HSIL?', ['HSIL'], None),
        ('HSIL ', ['HSIL'], 'HSIL'),
        ('low grade', ['Low-Grade'], 'Low-Grade'),
        ('lowgrade', ['low grade', 'low_grade'], None),
        ('e\u0301pithe\u0301lium', ['épithélium'], 'épithélium'),
        ('HS\u200bIL', ['HSIL'], None),
        ('ＨＳＩＬ', ['HSIL'], None),
    ],
)
def test_a_class_is_its_whole_name(spelling, classes, expected):
    assert resolve_class(spelling, classes) == expected


@pytest.mark.parametrize(
    'name',
    [
        'manifest.csv', 'a.PNG', 'x' * 101, '癌' * 67, 'a\x07b', 'a\nb', '=cmd|calc!A0', '+1', '-1',
        '@a', '#1', 'a\u200f', '\u202eLISH', '$\\frac{', 'a/b', '..', '.git', '__MACOSX', '_truth',
        'Thumbs.db', 'con', 'a.', 'a:b', 'a\udcff', '-', '', ' ', 'x\u00a0y',
    ],
)  # fmt: skip
def test_names_that_no_table_or_folder_can_bear(name):
    with pytest.raises(ValueError, match='class name') as error:
        check_class_names(['normal', name])
    assert str(error.value).isprintable() and len(str(error.value)) < 250
    with pytest.raises(ValueError, match='class name'):
        CellPatchDataset(metainfo=dict(classes=['normal', name]), lazy_init=True)


def test_names_that_people_use():
    names = ['ER+', 'ER-', '3+', 'CIN 2-3', '正常', 'Gleason 3.5', 'p16 (pos.), IHC', "Barrett's",
             'naïve', '_rest', '≥HSIL', '5 %', 'R&D']  # fmt: skip
    assert check_class_names([unicodedata.normalize('NFD', f' {name}') for name in names]) == tuple(
        names
    )


def test_er_plus_and_er_minus_stay_apart(tmp_path):
    tree(tmp_path, 'ER+', 'ER-', 'normal')
    listing = list_patches(str(tmp_path), ['ER+', 'normal'])
    (problem,) = listing.problems
    assert problem.kind == 'unknown class' and "'ER-' (3 images)" in problem.message
    listing = list_patches(str(tmp_path), ['ER+', 'ER-', 'normal'])
    assert not listing.problems
    assert [p.label for p in listing.patches] == [0] * 3 + [1] * 3 + [2] * 3


def test_two_folders_never_become_one_class(tmp_path):
    tree(tmp_path, 'HSIL', 'hsil', 'NILM')
    listing = list_patches(str(tmp_path), ['NILM', 'HSIL'], extra_classes='skip')
    assert ('two spellings', 'error') in kinds(listing)
    assert "'HSIL' (3 images) and 'hsil' (3 images)" in str(listing.problems)
    tree(tmp_path / 'b', 'normal', 'NILM')
    with pytest.raises(DatasetError, match='would all be class .NILM'):
        CellPatchDataset(str(tmp_path / 'b'), metainfo=dict(classes=['NILM']))
    with pytest.raises(ConverterError, match='--map CLASS=name,name'):
        convert_folders(tmp_path / 'b', tmp_path / 'out', progress=False)
    told = {'NILM': ['normal', 'NILM']}
    result = convert_folders(tmp_path / 'b', tmp_path / 'out', class_map=told, progress=False)
    assert len(result.rows) == 6


def test_what_is_forgiven_is_said(tmp_path):
    tree(tmp_path / 'in', 'hsil', 'asc_us', 'NILM')
    listing = list_patches(str(tmp_path / 'in'), ['NILM', 'ASC-US', 'HSIL'])
    said = sorted(p.message for p in listing.problems)
    assert said == [
        "folder 'asc_us' (3 images) is read as class 'ASC-US'",
        "folder 'hsil' (3 images) is read as class 'HSIL'",
    ]
    result = convert_folders(tmp_path / 'in', tmp_path / 'out', progress=False)
    assert 'note: asc_us is read as ASC-US' in result.lines


def test_unknown_labels_of_a_manifest(tmp_path):
    tree(tmp_path, 'img', images=5)
    labels = ['0', '1', '-1', '1.0', '10']
    rows = [f'img/{index}.png,{label}' for index, label in enumerate(labels)]
    (tmp_path / 'manifest.csv').write_text('\n'.join(['file,label', *rows]))
    listing = list_patches(str(tmp_path), ['0', '1', '10'], str(tmp_path / 'manifest.csv'))
    unknown = [p.message for p in listing.problems if p.kind == 'unknown class']
    assert len(unknown) == 2 and "'-1' (1 images)" in unknown[0] and "'1.0'" in unknown[1]
    assert [p.label for p in listing.patches] == [0, 1, 2]


def test_chinese_folders_are_mapped_as_told(tmp_path):
    tree(tmp_path / 'cn', '正常', '癌', 'HSIL')
    told = {'NILM': ['正常'], 'HSIL': ['HSIL']}
    with pytest.raises(ConverterError, match='3 of 9 images .* folders: 癌;'):
        convert_folders(tmp_path / 'cn', tmp_path / 'out', class_map=told, progress=False)
    result = convert_folders(
        tmp_path / 'cn', tmp_path / 'out', class_map=told, skip_unmatched=True, progress=False
    )
    assert {Path(row['source']).parts[0]: row['label'] for row in result.rows} == {
        '正常': 'NILM', 'HSIL': 'HSIL',
    }  # fmt: skip
    assert result.counts['images in no folder of a class, left out'] == 3
    assert 'note: no class is named by 癌' in result.lines
    tree(tmp_path / 'four', '非HSIL', 'HSIL待定', 'HSIL', 'NILM')
    listing = list_patches(str(tmp_path / 'four'), ['NILM', 'HSIL'])
    assert len([p for p in listing.problems if p.kind == 'unknown class']) == 2
    assert len(listing.patches) == 6


def test_a_label_with_a_slash_is_no_folder(tmp_path):
    tree(tmp_path / 'in', 'a', images=2)
    table = tmp_path / 'table.csv'
    table.write_text('file,label\na/0.png,CIN2/CIN3\na/1.png,CIN2\n')
    with pytest.raises(ConverterError, match='1 of 2 images'):
        convert_folders(
            tmp_path / 'in', tmp_path / 'out', table=table, classes=['CIN2', 'CIN3'], progress=False
        )


def test_labels_of_instances_are_identities(tmp_path):
    meaning = MaskMeaning(('stroma', 'benign', 'malignant'), instances='label')
    image = WholeImage('a', tmp_path, label='Benign')
    assert meaning.decode(np.array([[0, 5]]), image)[0].tolist() == [[0, 1]]
    with pytest.raises(ValueError, match='would all be class .benign'):
        meaning.decode(np.array([[0, 5]]), WholeImage('b', tmp_path, label='benign'))


# Files ------------------------------------------------------------------------------------------

LEFT_BEHIND = ('.DS_Store', '._0.jpg', 'Thumbs.db', 'desktop.ini', '.hidden/a.png')
ODD_NAMES = (
    '_DSC0001.JPG', '__x.png', '宫颈.png', '(1) b.png', '-a.jfif', 'c.JPE', 'naïve.png',
    '_.png', 'a#b.png', 'x' * 251 + '.png', '癌' * 80 + '.bmp', '🔬.png', "'q'.tif", '$x$.webp',
)  # fmt: skip


def odd_tree(root: Path) -> int:
    """Class folders whose names and files are odd; returns how many images there are."""
    for folder in ('NILM/宫颈细胞', 'NILM/(batch 2)', 'HSIL/_slide', 'HSIL'):
        for name in ODD_NAMES:
            draw(root / folder / name)
        for name in LEFT_BEHIND:
            path = root / folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b'x')
    draw(root / '__MACOSX' / 'HSIL' / 'a.png')
    return 4 * len(ODD_NAMES)


def numbers_read(root: Path, classes) -> dict:
    """How many images each reader finds in class folders."""
    folders = [root / name for name in classes_of(find_folder(root))]
    return dict(
        dataset=len(CellPatchDataset(str(root), metainfo=dict(classes=classes))),
        selection=len(read_tree(str(root), classes, 'candidates').files),
        leak=len(data_folder_files(root)),
        whole=sum(len(files_by_name(folder)) for folder in folders),
    )


def test_what_is_written_is_what_every_reader_reads(tmp_path):
    source, out = tmp_path / 'source', tmp_path / 'out'
    count = odd_tree(source)
    classes = ['NILM', 'HSIL']
    result = convert_folders(source, out, classes=classes, policy='keep', progress=False)
    assert len(result.rows) == count
    assert set(numbers_read(out, classes).values()) == {count}
    # _scores and _truth of the tools are no classes.
    draw(out / '_truth' / 'a.png')
    assert classes_of(find_folder(out)) == ['HSIL', 'NILM']
    (out / 'manifest.csv').unlink()  # class folders alone
    numbers = numbers_read(out, classes)
    assert set(numbers.values()) == {count}
    hidden = result.counts['hidden files and folders, left out']
    assert hidden == 4 * len(LEFT_BEHIND) + 1
    report = check_dataset(CellPatchDataset(str(source), metainfo=dict(classes=classes)))
    assert sum(report.counts[''].values()) == count
    assert any(f'{hidden} hidden files or folders' in p.message for p in report.problems)


def test_decomposed_names_match_composed_tables(tmp_path):
    plain = 'é/naïve.png', 'é/ü.png'
    for name in plain:
        draw(tmp_path / 'in' / unicodedata.normalize('NFD', name))
    rows = [f'{name},é,g{index},train' for index, name in enumerate(plain)]
    (tmp_path / 'in' / 'manifest.csv').write_text('\n'.join(['file,label,group,split', *rows]))
    root = str(tmp_path / 'in')
    manifest = CellPatchDataset(root, 'manifest.csv', metainfo=dict(classes=['é']))
    assert len(manifest) == 2
    assert [Path(manifest.get_data_info(i)['img_path']).is_file() for i in range(2)] == [True] * 2
    folders = CellPatchDataset(root, metainfo=dict(classes=['é']))
    assert folders.class_counts() == {'é': 2}
    chosen = read_tree(root, ['é'], 'candidates')
    assert [chosen.rows[file]['group'] for file in chosen.files] == ['g0', 'g1']
    table = tmp_path / 'in' / 'manifest.csv'
    result = convert_folders(root, tmp_path / 'out', table=table, progress=False)
    assert [row['group'] for row in result.rows] == ['g0', 'g1']
    groups = tmp_path / 'groups.csv'
    groups.write_text('file,group\n' + '\n'.join(f'{name},one' for name in plain))
    result = convert_folders(
        root, tmp_path / 'out2', classes=['é'], class_map={'é': ['é']}, group_csv=groups,
        progress=False,
    )  # fmt: skip
    assert {row['group'] for row in result.rows} == {'one'}


def test_an_image_and_its_mask_may_be_composed_differently(tmp_path):
    draw(tmp_path / 'images' / unicodedata.normalize('NFD', 'é.png'))
    draw(tmp_path / 'masks' / unicodedata.normalize('NFC', 'é.png'))
    assert list(files_by_name(tmp_path / 'images')) == list(files_by_name(tmp_path / 'masks'))
    assert on_disk(tmp_path / 'images', 'é.png') == unicodedata.normalize('NFD', 'é.png')
    assert on_disk(tmp_path / 'images', 'ü.png') == 'ü.png'


@pytest.mark.parametrize('letter', ['x', '癌', '🔬'])
def test_names_up_to_the_limit_can_be_written(tmp_path, letter):
    width = len(letter.encode())
    name = letter * ((255 - 4) // width) + '.csv'
    with atomic_write(tmp_path / name, 'w') as file:
        file.write('x')
        (temporary,) = tmp_path.iterdir()
        assert is_hidden(temporary.name) and len(temporary.name.encode()) <= 255
    assert [path.name for path in tmp_path.iterdir()] == [name]
    long = fit_name(letter * 300, '_00001.png')
    assert len(long.encode()) <= 255 and long.endswith('_00001.png')
    assert long != fit_name(letter * 301, '_00001.png')
    assert fit_name('a', '.png') == 'a.png'


def test_a_manifest_says_the_same_after_a_copy(tmp_path):
    odd_tree(tmp_path / 'in')
    first = convert_folders(tmp_path / 'in', tmp_path / 'a', classes=['NILM', 'HSIL'],
                            progress=False)  # fmt: skip
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    rows = read_manifest(tmp_path / 'b' / 'manifest.csv')
    assert [row['file'] for row in rows] == [row['file'] for row in first.rows]
    with open(tmp_path / 'b' / 'manifest.csv', encoding='utf-8', newline='') as file:
        assert [row['source'] for row in csv.DictReader(file)] == [r['source'] for r in first.rows]
