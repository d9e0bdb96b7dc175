import re
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[1]
PAGES = sorted([*REPO.glob('*.md'), *(REPO / 'docs').rglob('*.md')])


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page):
    text = page.read_text(encoding='utf-8')
    links = re.findall(r'\]\((?!https?://)([^)#]+)\)', text)
    missing = [link for link in links if not (page.parent / link).is_file()]
    named = set(re.findall(r'\b(?:tools|configs)/[\w/]+\.(?:py|sh)', text))
    missing += [name for name in sorted(named) if not (REPO / name).is_file()]
    assert not missing


def anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r'^#+ +(.+?) *$', page.read_text(encoding='utf-8'), flags=re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_to_headings_exist(page):
    text = page.read_text(encoding='utf-8')
    links = re.findall(r'\]\((?!https?://)([^)#]*)#([^)]+)\)', text)
    missing = [
        f'{name}#{anchor}'
        for name, anchor in links
        if anchor not in anchors(page.parent / name if name else page)
    ]
    assert not missing


def test_every_page_has_its_place_on_the_site():
    def pages(entry):
        if isinstance(entry, str):
            return [entry]
        entries = entry.values() if isinstance(entry, dict) else entry
        return [page for inner in entries for page in pages(inner)]

    site = yaml.safe_load((REPO / 'mkdocs.yml').read_text(encoding='utf-8'))
    docs = REPO / 'docs'
    there = sorted(path.relative_to(docs).as_posix() for path in docs.rglob('*.md'))
    assert sorted(pages(site['nav'])) == [*there, 'weights/README.md'], "mkdocs.yml's nav"


@pytest.mark.parametrize('folder', ['docs', 'weights'])
def test_pages_of_the_site_link_only_to_what_is_on_it(folder):
    """`make docs` fails otherwise; docs/mkdocs_hooks.py makes the cards of weights/ pages."""
    on_site = {'docs': ('docs', 'weights'), 'weights': ('docs', 'weights', 'configs')}[folder]
    lost = []
    for page in sorted((REPO / folder).rglob('*.md')):
        for link in re.findall(r'\]\((?!https?://)([^)#]+)', page.read_text(encoding='utf-8')):
            target = (page.parent / link).resolve().relative_to(REPO)
            if target.parts[0] not in on_site:
                lost.append(f'{page.relative_to(REPO)}: {link}')
    assert not lost
