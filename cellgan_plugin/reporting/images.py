"""Folders of synthetic and of selected images on a page."""

from pathlib import Path
from typing import Any, Dict, List

from cellgan_plugin.files import ABOUT_FOLDER
from cellgan_plugin.records import read_json
from cellgan_plugin.selection.folder import RECORD_NAME as SELECTION
from cellgan_plugin.synthesis.folder import RECORD_NAME as SYNTHESIS
from cellgan_plugin.synthesis.folder import sheet_file
from cellgan_plugin.visualization.page import Picture, Section
from cellgan_plugin.visualization.report_tables import Column, ReportTable


def synthesis_sections(folder: Path, name: str) -> List[Section]:
    """The sheet of a folder of synthetic images, and what made them."""
    record = read_json(folder / SYNTHESIS) or {}
    protocol = record.get('protocol') or {}
    facts = [(key, str(protocol[key])) for key in (
        'checkpoint_sha256', 'config_sha256', 'sample_model', 'precision', 'seed', 'truncation',
        'image_format', 'cellgan_plugin',
    ) if protocol.get(key) is not None]  # fmt: skip
    picture = Picture(sheet_file(folder), f'{name}: the first images of every class.')
    return [
        Section('images', f'Synthetic images: {name}', pictures=[picture]),
        Section('protocol', f'Synthesis: {name}', facts=facts),
    ]


def selection_sections(folder: Path, name: str) -> List[Section]:
    """What a selection kept, its best and worst, and where they lie."""
    record = read_json(folder / SELECTION) or {}
    rows: List[Dict[str, Any]] = [dict(row) for row in record.get('rows') or ()]
    titles = dict(
        label='Class', real='Real', candidates='Candidates', kept='Kept', memorised='Memorised',
        median_entropy_pool='Entropy, all', median_entropy_kept='Entropy, kept',
        median_distance_pool='Distance, all', median_distance_kept='Distance, kept',
        predicted_as_label_pool='Taken for the label, all',
        predicted_as_label_kept='Taken for the label, kept',
    )  # fmt: skip
    columns = [
        Column(key, title, 3) for key, title in titles.items() if any(key in row for row in rows)
    ]
    protocol = record.get('protocol') or {}
    what = f'Rule: {protocol.get("rule")}, ratio {protocol.get("ratio")}.'
    tables = [ReportTable('What was kept (medians)', columns, rows)] if rows else []
    return [
        Section(
            'selection',
            f'Selection: {name}',
            text=[what],
            tables=tables,
            pictures=[
                Picture(
                    folder / ABOUT_FOLDER / 'best_worst.png',
                    'The best that were kept, then the worst by each criterion that dropped some.',
                ),
                Picture(
                    folder / ABOUT_FOLDER / 'tsne.png',
                    'Features in two dimensions (t-SNE): crosses that lie among the dots of their '
                    'colour look like their class to the classifier.',
                ),
            ],
        )
    ]
