"""Matplotlib figures without a display, pyplot or global state."""

from pathlib import Path
from typing import TYPE_CHECKING, Union

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
