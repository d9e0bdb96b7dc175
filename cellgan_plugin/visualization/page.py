"""A report as one HTML file: no network, no script, pictures inside.

A subject (benchmark, comparison, selection, ...) describes what it has to show as
:class:`Section`; :func:`write_page` puts sections into the order of :data:`KINDS`, whoever made
them, and leaves out what is not there.
"""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Sequence, Tuple, Union

import numpy as np

from cellgan_plugin.files import atomic_write
from cellgan_plugin.version import __version__
from cellgan_plugin.visualization.page_pictures import embed_pictures
from cellgan_plugin.visualization.report_tables import ReportTable, shown_table

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE_NAME = 'report.html'
TEMPLATES = Path(__file__).parent / 'templates'
# Sections in the order of a page.
KINDS: Tuple[str, ...] = (
    'verdict', 'table', 'images', 'classes', 'distances', 'memorisation', 'confusion', 'curves',
    'selection', 'readers', 'protocol', 'warnings',
)  # fmt: skip
TONES = ('', 'good', 'open', 'bad')
MAX_BYTES = 5_000_000
# A table with more columns than this and few rows is shown with rows and columns exchanged.
_MOST_COLUMNS, _FEW_ROWS = 16, 8


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Attributes:
        source (str | Path | np.ndarray): File, or uint8 RGB (H, W, 3). A file that is not there
            is left out.
        caption (str): Below it; also what a screen reader says.
    """

    source: Union[str, Path, np.ndarray]
    caption: str


@dataclass(frozen=True)
class Section:
    """A part of a page. Texts are plain: nothing in them is markup.

    Attributes:
        kind (str): Of :data:`KINDS`: where it stands.
        title (str): Heading.
        text (Sequence[str]): Paragraphs.
        items (Sequence[str]): A list below them.
        tables (Sequence[ReportTable]): Below that.
        pictures (Sequence[Picture]): Below that.
        facts (Sequence[tuple[str, str]]): Name and value, last.
        tone (str): Of :data:`TONES`: colour of a verdict. Defaults to '': none.
    """

    kind: str
    title: str
    text: Sequence[str] = ()
    items: Sequence[str] = ()
    tables: Sequence[ReportTable] = ()
    pictures: Sequence[Picture] = ()
    facts: Sequence[Tuple[str, str]] = ()
    tone: str = ''

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f'section {self.title!r}: kind {self.kind!r} is none of {KINDS}')
        if self.tone not in TONES:
            raise ValueError(f'section {self.title!r}: tone {self.tone!r} is none of {TONES}')

    @property
    def empty(self) -> bool:
        """Whether there is nothing below the heading."""
        shown = [p for p in self.pictures if _is_there(p.source)]
        return not (self.text or self.items or self.tables or shown or self.facts)


def picture_section(
    kind: str, title: str, file: Path, caption: str, text: Sequence[str] = ()
) -> Section:
    """A section of one picture and what is to be said of it; empty where there is no such file."""
    return Section(kind, title, text if file.is_file() else (), pictures=[Picture(file, caption)])


def _is_there(source: Union[str, Path, np.ndarray]) -> bool:
    return isinstance(source, np.ndarray) or Path(source).is_file()


def ordered(sections: Sequence[Section]) -> List[Section]:
    """Sections that show something, in the order of a page; of one kind in the order given."""
    return sorted((s for s in sections if not s.empty), key=lambda s: KINDS.index(s.kind))


def write_page(
    path: Union[str, Path],
    title: str,
    sections: Sequence[Section],
    subtitle: str = '',
    max_bytes: int = MAX_BYTES,
) -> Path:
    """Write a page, whole or not at all.

    Args:
        path (str | Path): The HTML file.
        title (str): Its heading.
        sections (Sequence[Section]): In any order of kinds.
        subtitle (str): Below the heading. Defaults to ''.
        max_bytes (int): The file is smaller: pictures are made smaller, and at last left out,
            which is said. Defaults to 5 million.

    Returns:
        Path: ``path``.

    Raises:
        ValueError: The text alone is larger than ``max_bytes``.
    """
    shown = ordered(sections)
    pictures = [p for s in shown for p in s.pictures if _is_there(p.source)]
    without = _render(title, subtitle, shown, {})
    room = max_bytes - len(without.encode())
    if room <= 0:
        raise ValueError(f'{path}: the text alone has more than {max_bytes} bytes')
    # A picture that is there says its caption a second time, for who cannot see it.
    room -= sum(len(html.escape(picture.caption).encode()) for picture in pictures)
    sources = embed_pictures([picture.source for picture in pictures], max(0, room))
    by_picture = {id(p): source for p, source in zip(pictures, sources, strict=True)}
    with atomic_write(path, 'w', encoding='utf-8') as file:
        file.write(_render(title, subtitle, shown, by_picture))
    return Path(path)


def environment(templates: Path = TEMPLATES) -> 'Environment':
    """Jinja2 over a folder of templates: everything is escaped, a missing name is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _render(title: str, subtitle: str, sections: Sequence[Section], sources: Dict[int, str]) -> str:
    plain = [
        dict(
            kind=section.kind,
            title=section.title,
            tone=section.tone,
            text=list(section.text),
            items=list(section.items),
            facts=list(section.facts),
            tables=[
                shown_table(table, len(table.columns) > _MOST_COLUMNS
                            and len(table.rows) <= _FEW_ROWS)
                for table in section.tables
            ],
            pictures=[
                dict(caption=picture.caption, source=sources.get(id(picture), ''))
                for picture in section.pictures
                if _is_there(picture.source)
            ],
        )
        for section in sections
    ]  # fmt: skip
    page = environment().get_template('page.html')
    return page.render(title=title, subtitle=subtitle, sections=plain, version=__version__)
