"""What other programs read of a folder of images: ``metadata.csv`` and a data card.

Hugging Face ``datasets`` loads such a folder as it is: ``load_dataset('synthetic')``. It takes a
file with ``train`` in its name for a split and every picture for a sample, so what is no image of a
class lies in ``__about__``, a name that it passes over.
"""

import csv
import glob
import json
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

from cellgan_plugin.files import ABOUT_FOLDER, atomic_write
from cellgan_plugin.records import digest_of
from cellgan_plugin.version import __version__

METADATA_NAME, CARD_NAME = 'metadata.csv', 'README.md'
_MARK = '<!-- Written by cellgan_plugin. Take this line away, and the file is kept as it is. -->'
_SIZES = ((1_000, 'n<1K'), (10_000, '1K<n<10K'), (100_000, '10K<n<100K'), (10**6, '100K<n<1M'))
LIMITS = (
    'The images are synthetic: they show what the generator has learnt of its training images, and '
    'nothing of any patient is known to be behind one of them beyond that.',
    'A label is the class that the generator was asked for. No person has looked at every image.',
    'Not for diagnosis. Whether they help a classifier on other data has to be measured there, '
    'with test images that neither the generator nor a selection has seen.',
)


def write_metadata(root: Union[str, Path], rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write ``metadata.csv``: ``file_name``, and what the manifest says of each image."""
    path = Path(root) / METADATA_NAME
    names = [name for name in (rows[0] if rows else ()) if name != 'file']
    with atomic_write(path, 'w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(['file_name', *names])
        writer.writerows([row['file'], *(row[name] for name in names)] for row in rows)
    return path


def write_card(
    root: Union[str, Path],
    title: str,
    rows: Sequence[Mapping[str, Any]],
    facts: Sequence[Tuple[str, Any]],
    made_by: str,
    sheet: str = '',
) -> Path:
    """Write ``README.md``: classes, counts, where the images came from, licence, limits.

    A card that somebody has edited is kept: only one that this function wrote is replaced.

    Args:
        root (str | Path): The folder.
        title (str): Heading.
        rows (Sequence[Mapping]): Of the manifest: ``file`` and ``label``.
        facts (Sequence[tuple[str, Any]]): Of the generator, its training images and the protocol.
        made_by (str): The command.
        sheet (str): Picture in ``__about__``. Defaults to '': none.

    Returns:
        Path: The file.
    """
    path = Path(root) / CARD_NAME
    if path.is_file() and _MARK not in path.read_text(encoding='utf-8', errors='replace'):
        return path
    counts: Dict[str, int] = Counter(str(row['label']) for row in rows)
    size = next((name for most, name in _SIZES if len(rows) < most), 'n>1M')
    folders = sorted({str(row['file']).split('/')[0] for row in rows})
    patterns = [METADATA_NAME, *(f'{glob.escape(folder)}/**' for folder in folders)]
    lines = [
        '---',
        'license: other',
        'license_name: to-be-chosen',
        'task_categories:',
        '- image-classification',
        'tags:',
        '- synthetic',
        '- cellgan_plugin',
        'size_categories:',
        f'- {size}',
        # Said, so that a class called "test" is no split.
        'configs:',
        '- config_name: default',
        '  data_files:',
        '  - split: train',
        '    path:',
        *(f'    - {json.dumps(pattern)}' for pattern in patterns),
        '---',
        '',
        f'# {_text(title)}',
        '',
        _MARK,
        '',
        *([f'![images of every class]({ABOUT_FOLDER}/{sheet})', ''] if sheet else []),
        '| Class | Images |',
        '| --- | ---: |',
        *(f'| {_text(name)} | {count} |' for name, count in counts.items()),
        f'| all | {len(rows)} |',
        '',
        '```python',
        'from datasets import load_dataset',
        '',
        "images = load_dataset('path/of/this/folder', split='train')",
        '```',
        '',
        '## Where they came from',
        '',
        f'Made by `{made_by}` of cellgan_plugin {__version__}.',
        '',
        '| | |',
        '| --- | --- |',
        *(f'| {_text(name)} | {_text(value)} |' for name, value in facts if value is not None),
        '',
        '## Licence',
        '',
        'To be chosen by who shares the images: `license` above. The licence of the training '
        'images may say what is allowed.',
        '',
        '## Limits',
        '',
        *(f'- {limit}' for limit in LIMITS),
        '',
    ]
    with atomic_write(path, 'w', encoding='utf-8') as file:
        file.write('\n'.join(lines))
    return path


def _text(value: Any) -> str:
    """A value inside a table of Markdown."""
    text = ' '.join(str(value).split())
    for letter in '\\|<*_`[':
        text = text.replace(letter, f'\\{letter}')
    return text


def seen_facts(hashes: Any) -> List[Tuple[str, Any]]:
    """Facts of the images behind a generator: how many, and one hash over all of theirs.

    Args:
        hashes (set[str] | None): Of the images, hexadecimal; None: unknown.
    """
    if hashes is None:
        return [('Training images', 'not known: the checkpoint does not say')]
    return [
        ('Training images', len(hashes)),
        ('Training images, hash of their hashes', digest_of(sorted(hashes))),
        ('Their hashes', f'{ABOUT_FOLDER}/training_images.txt'),
    ]
