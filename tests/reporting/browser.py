"""A page in a real browser without a window; skipped where there is none."""

import json
import re
import shutil
import subprocess

import pytest

_NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
_MEASURE = """
<script>
addEventListener('load', () => {
  const images = [...document.images];
  const style = getComputedStyle(document.body);
  const found = {
    images: images.length,
    broken: images.filter((i) => !i.complete || i.naturalWidth === 0).length,
    width: document.documentElement.scrollWidth,
    window: innerWidth,
    inner: [...document.querySelectorAll('.scroll')].map((e) => e.scrollWidth - e.clientWidth),
    back: style.backgroundColor,
    text: style.color,
    headings: [...document.querySelectorAll('h2')].map((e) => e.textContent),
  };
  document.body.dataset.found = JSON.stringify(found);
});
</script>
"""


def find_browser():
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


needs_browser = pytest.mark.skipif(find_browser() is None, reason=f'none of {_NAMES} on the path')


def run_browser(url, tmp_path, *options, width=1280):
    """The document after its scripts, as text."""
    done = subprocess.run(
        [
            find_browser(), '--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars',
            '--disable-dev-shm-usage', f'--user-data-dir={tmp_path / "browser"}',
            f'--window-size={width},900', '--virtual-time-budget=10000', '--dump-dom',
            *options, url,
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def measure(page, tmp_path, dark=False):
    """What a browser makes of a page: pictures, widths, colours.

    The measuring script is put into a copy: the page itself has none, and allows none.
    """
    text = page.read_text(encoding='utf-8')
    copy = tmp_path / f'measured_{page.name}'
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', '', text)
    copy.write_text(text.replace('</body>', f'{_MEASURE}</body>'), encoding='utf-8')
    options = ['--blink-settings=preferredColorScheme=0'] if dark else []
    options += [] if dark else ['--blink-settings=preferredColorScheme=1']
    document = run_browser(copy.as_uri(), tmp_path, *options)
    found = re.search(r'data-found="([^"]*)"', document)
    assert found, document[-2000:]
    return json.loads(found[1].replace('&quot;', '"').replace('&amp;', '&'))
