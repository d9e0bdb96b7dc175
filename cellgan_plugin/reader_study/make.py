"""Make a blinded reader study: one page to send, and a key to keep."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.datasets.inspection import in_threads
from cellgan_plugin.files import atomic_write
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.reader_study.draw import (
    Item,
    ReaderStudyError,
    common_size,
    draw_groups,
    draw_images,
    encoded_alike,
    listed,
    shown_pixels,
)
from cellgan_plugin.records import FolderRecord, digest_of
from cellgan_plugin.runs.evaluate_folders import classes_of, find_folder, folder_dataset
from cellgan_plugin.version import __version__
from cellgan_plugin.visualization.page import environment

PAGE_NAME, KEY_NAME = 'reading.html', 'key.json'
FORMAT = 'cellgan_plugin reader study 1'
MODES = ('images', 'groups')
_TEMPLATES = Path(__file__).parent / 'templates'
MOST_CLASSES = 35  # one key of the keyboard each
_INTRODUCTION = {
    'images': (
        'You will see single images. Some are real, some are synthetic. Say of each whether you '
        'take it for real, which class it shows, and how good it is (5 is best). A remark says '
        'what struck you.'
    ),
    'groups': (
        'You will see two groups of images at a time, both of one class: one of real images, one '
        'of synthetic ones. Say which looks more like real images; choose the tie if they look '
        'alike. A remark says what struck you.'
    ),
}


def _questions(mode: str, classes: Sequence[str]) -> List[Dict[str, Any]]:
    def option(value: Any, title: str) -> Dict[str, Any]:
        return dict(value=value, title=title)

    if mode == 'groups':
        sides = [option(0, 'the left group'), option(1, 'the right group'), option(-1, 'a tie')]
        return [dict(name='choice', title='Which looks more like real images?', options=sides)]
    # The key of the keyboard is the value.
    quality = dict(zip(range(1, 6), ('useless', 'poor', 'fair', 'good', 'excellent'), strict=True))
    return [
        dict(
            name='real',
            title='Real or synthetic?',
            options=[option(True, 'real'), option(False, 'synthetic')],
        ),
        dict(name='label', title='Class', options=[option(name, name) for name in classes]),
        dict(
            name='quality',
            title='Quality, 1 to 5',
            options=[option(value, name) for value, name in quality.items()],
        ),
    ]


def _both(
    real: Union[str, Path], synthetic: Union[str, Path], classes: Optional[Sequence[str]]
) -> Tuple[Dict[str, List[Item]], Dict[str, List[Item]]]:
    trees = [find_folder(folder) for folder in (real, synthetic)]
    if classes is None:
        found = [classes_of(tree) for tree in trees]
        classes = [name for name in found[0] if resolve_class(name, found[1]) is not None]
        if not classes:
            raise ReaderStudyError(
                f'{real} has the classes {found[0]}, {synthetic} {found[1]}: none is in both'
            )
    if len(classes) > MOST_CLASSES:
        raise ReaderStudyError(f'{len(classes)} classes: a reader has {MOST_CLASSES} keys; name '
                               'some with --classes')  # fmt: skip
    sides = []
    for origin, (folder, ann_file, split) in zip(('real', 'synthetic'), trees, strict=True):
        sides.append(listed(folder_dataset(folder, classes, None, ann_file, split), origin))
    return sides[0], sides[1]


@writes_folder('out')
def make_reader_study(
    real: Union[str, Path],
    synthetic: Union[str, Path],
    out: Union[str, Path],
    mode: str = 'images',
    per_class: int = 10,
    groups: int = 10,
    group_size: int = 5,
    classes: Optional[Sequence[str]] = None,
    size: Optional[Tuple[int, int]] = None,
    seed: int = 0,
    title: str = 'Reader study',
) -> Dict[str, Any]:
    """Write ``reading.html``, which a reader opens in a browser, and ``key.json``, which stays.

    All images are cut to one shape, resized to one size, and encoded alike: nothing but their
    pixels tells where they are from. The key is in no way in the page.

    Args:
        real (str | Path): Class folders of real images, or ``DIR:SPLIT`` of its manifest.
        synthetic (str | Path): Likewise; in mode 'groups' any other source that real is compared
            with, e.g. images before and after a selection.
        out (str | Path): A new folder, or that of the same study.
        mode (str): 'images' (real or not, class, quality, one by one) or 'groups' (HistoGAN,
            Sec. 4.3.1). Defaults to 'images'.
        per_class (int): Real and synthetic images of each class, in mode 'images'. Defaults to 10.
        groups (int): Pairs of groups. Defaults to 10.
        group_size (int): Images of a group. Defaults to 5.
        classes (Sequence[str], optional): In the order that weighted kappa takes for a scale.
            Defaults to None: those that both have, by name.
        size (tuple[int, int], optional): Width and height. Defaults to None, see
            :func:`~cellgan_plugin.reader_study.draw.common_size`.
        seed (int): Of draw and order. Defaults to 0.
        title (str): Of the page. Defaults to 'Reader study'.

    Returns:
        dict: ``page``, ``key`` (paths), ``images`` (their number), ``size``.

    Raises:
        ReaderStudyError: Too few images, or classes that do not fit.
        FileNotFoundError: No such folder.
        RecordError: ``out`` holds another study.
    """
    if mode not in MODES:
        raise ReaderStudyError(f'mode {mode!r}: one of {MODES}')
    if min(per_class, groups, group_size) < 1:
        raise ReaderStudyError('per_class, groups and group_size must be 1 or more')
    sides = _both(real, synthetic, classes)
    if mode == 'images':
        drawn: List[List[Item]] = [[item] for item in draw_images(*sides, per_class, seed)]
    else:
        pairs = draw_groups(*sides, groups, group_size, seed)
        drawn = [[*left, *right] for left, right in pairs]
    every = [item for shown in drawn for item in shown]
    size = common_size(every, size)
    pixels = list(in_threads(lambda item: shown_pixels(item.file, size), every))
    addresses = encoded_alike(pixels)
    study = digest_of([addresses, mode])[:16]
    names = list(classes or [name for name, own in sides[0].items() if own])
    page, key = _page_and_key(study, mode, drawn, addresses, names)
    out = Path(out)
    record = FolderRecord(out, KEY_NAME)
    record.check(dict(study=study))
    key.update(
        title=title, size=list(size), seed=seed, real=str(real), synthetic=str(synthetic),
        cellgan_plugin=__version__,
    )  # fmt: skip
    record.write(key)
    with atomic_write(out / PAGE_NAME, 'w', encoding='utf-8') as file:
        file.write(
            environment(_TEMPLATES)
            .get_template('reading.html')
            .render(title=title, introduction=_INTRODUCTION[mode], study=page)
        )
    return dict(
        page=str(out / PAGE_NAME), key=str(out / KEY_NAME), images=len(every), size=list(size)
    )


def _page_and_key(
    study: str,
    mode: str,
    drawn: Sequence[Sequence[Item]],
    addresses: Sequence[str],
    classes: Sequence[str],
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """What the page shows, and what only the key has; items are numbered in the order shown."""
    shown, known = [], {}
    number = 0
    for place, items in enumerate(drawn, 1):
        numbers = list(range(number, number + len(items)))
        number += len(items)
        own: Dict[str, Any] = dict(id=str(place))
        if mode == 'images':
            own['image'] = numbers[0]
            known[own['id']] = asdict(items[0])
        else:
            half = len(numbers) // 2
            own['sides'] = [numbers[:half], numbers[half:]]
            known[own['id']] = dict(
                label=items[0].label,
                real_side=0 if items[0].origin == 'real' else 1,
                files=[item.file for item in items],
            )
        shown.append(own)
    page = dict(
        format=FORMAT, study=study, questions=_questions(mode, classes), items=shown,
        images=list(addresses),
    )  # fmt: skip
    key = dict(format=FORMAT, study=study, mode=mode, classes=list(classes), items=known)
    return page, key
