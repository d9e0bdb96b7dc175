"""``slides.csv`` of a conversion: what each slide said, and what was assumed of it."""

import csv
from pathlib import Path
from typing import Dict, Mapping, Sequence

from cellgan_plugin.converters.slides.inspect import Inspected
from cellgan_plugin.files import write_rows

SLIDES_NAME = 'slides.csv'
COLUMNS = (
    'slide', 'group', 'status', 'width', 'height', 'levels', 'mpp_x', 'mpp_y', 'mpp_source',
    'objective', 'vendor', 'reader', 'patches', 'digest',
)  # fmt: skip


def write_slides_file(
    out_dir: Path,
    inspected: Sequence[Inspected],
    damaged: Mapping[str, str],
    groups: Mapping[str, str],
) -> Path:
    """Write one row per slide; ``status`` is ``ok`` or why it was passed over."""
    rows = []
    for one in inspected:
        failed = damaged.get(one.slide)
        row = {'slide': one.slide, 'group': groups[one.slide], 'status': failed or 'ok'}
        if one.info is not None:
            row.update(
                width=one.info.width, height=one.info.height, levels=len(one.info.levels),
                objective=one.info.objective or '', vendor=one.info.vendor, reader=one.info.reader,
            )  # fmt: skip
        if one.scale is not None:
            row.update(
                mpp_x=f'{one.scale.x:.6g}', mpp_y=f'{one.scale.y:.6g}', mpp_source=one.scale.source,
            )  # fmt: skip
        if not failed:
            row.update(patches=len(one.patches), digest=one.digest)
        rows.append(row)
    return write_rows(out_dir / SLIDES_NAME, COLUMNS, rows)


def read_slides_file(out_dir: Path) -> Dict[str, Dict[str, str]]:
    """Rows of an earlier run by slide; empty when there are none."""
    path = out_dir / SLIDES_NAME
    if not path.is_file():
        return {}
    with open(path, encoding='utf-8', newline='') as file:
        return {row['slide']: row for row in csv.DictReader(file) if row.get('slide')}
