"""Matplotlib figures without a display, pyplot or global state."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Sequence, Union

from cellgan_plugin.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 110


def new_figure(width: float, height: float) -> 'Figure':
    """An empty figure of a size in inches, which lays itself out.

    Matplotlib is imported here: it takes a second, and most processes draw nothing.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def text_width(text: str, size: float) -> float:
    """About how wide a line of text is, in inches; a little more rather than less."""
    return len(text) * 0.62 * size / 72


def wrapped(text: str, width: float, size: float) -> str:
    """A text in lines of at most ``width`` inches; words that are longer are cut."""
    letters = max(4, int(width / text_width('x', size)))
    return '\n'.join(textwrap.fill(line, letters) for line in text.splitlines())


def set_title(figure: 'Figure', text: str, size: float = 10) -> None:
    """The title of a figure, in as many lines as its width asks for."""
    width, height = figure.get_size_inches()
    lines = wrapped(text, width - 0.3, size)
    # What the title takes is no loss of the panels.
    figure.set_size_inches(width, height + 1.4 * size / 72 * lines.count('\n'))
    figure.suptitle(lines, fontsize=size)


def set_legend(figure: 'Figure', handles: Sequence, labels: Sequence[str], size: float = 9) -> None:
    """A legend below the panels, in as many columns as fit, and a figure that has room for it."""
    width, height = figure.get_size_inches()
    each = max((text_width(label, size) for label in labels), default=0) + 0.6
    columns = max(1, min(len(labels), int((width - 0.2) / each)))
    rows = -(-len(labels) // columns)
    figure.set_size_inches(max(width, each + 0.2), height + 1.5 * size / 72 * rows)
    figure.legend(
        handles, labels, loc='outside lower center', ncols=columns, fontsize=size, frameon=False
    )


def save_figure(figure: 'Figure', path: Union[str, Path]) -> Path:
    r"""Write a figure as PNG at 110 pixels per inch, whole or not at all; returns ``path``.

    Texts are shown as they are: names of classes, folders and models are no formulas, and ``$`` or
    ``\frac{`` in one must not stop a run that is done.
    """
    from matplotlib import rc_context
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
    # For the labels of ticks, which are made while the figure is drawn.
    with rc_context({'text.parse_math': False}), atomic_write(path) as file:
        figure.savefig(file, format='png', dpi=_DPI)
    return Path(path)
