"""For `make docs`: what docstrings say in the form of Sphinx, cross references above all."""

import re

_ROLE = re.compile(
    r':(?:attr|class|data|exc|func|meth|mod|obj):<code>(~?)([\w.]+)</code>', flags=re.ASCII
)


def on_page_content(html, **kwargs):
    """A name that has a place on the site is linked to it; another one stays code."""

    def link(match):
        short, name = match.groups()
        shown = name.rsplit('.', 1)[-1] if short else name
        return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'

    html = html.replace(':math:<code>', '<code>').replace('::</p>', ':</p>')
    return _ROLE.sub(link, html)
