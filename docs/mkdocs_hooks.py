"""For `make docs`: the cards of the weights become pages, and Sphinx's cross references links."""

import re
from pathlib import Path

from mkdocs.structure.files import File

_CARDS = Path(__file__).resolve().parents[1] / 'weights'
_LINK_TO_CONFIG = re.compile(r'\[([^\]]+)\]\(\.\./configs/[^)]+\)')
_ROLE = re.compile(
    r':(?:attr|class|data|exc|func|meth|mod|obj):<code>(~?)([\w.]+)</code>', flags=re.ASCII
)


def on_files(files, config, **kwargs):
    """The cards lie outside of docs/, beside the weights that they describe."""
    for card in sorted(_CARDS.glob('*.md')):
        files.append(File.generated(config, f'weights/{card.name}', abs_src_path=str(card)))
    return files


def on_page_markdown(markdown, page, **kwargs):
    """Links between docs/ and weights/, as they are in the repository, become those of the site."""
    if page.file.src_uri.startswith('weights/'):
        markdown = _LINK_TO_CONFIG.sub(r'\1', markdown)  # configs are no pages
        return markdown.replace('](../docs/', '](../')
    return markdown.replace('](../weights/', '](weights/')


def on_page_content(html, **kwargs):
    """A name that has a place on the site is linked to it; another one stays code."""

    def link(match):
        short, name = match.groups()
        shown = name.rsplit('.', 1)[-1] if short else name
        return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'

    html = html.replace(':math:<code>', '<code>').replace('::</p>', ':</p>')
    return _ROLE.sub(link, html)
