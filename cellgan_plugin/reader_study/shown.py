"""The images of a study's page, read back from it."""

import json
import re
from pathlib import Path
from typing import Dict, List, Optional

_DATA = re.compile(r'<script type="application/json" id="study">(.*?)</script>', re.DOTALL)


def shown_images(page: Path) -> Optional[Dict[str, List[str]]]:
    """Item -> ``data:`` addresses of its images; None where the page is gone or was changed."""
    if not page.is_file():
        return None
    found = _DATA.search(page.read_text(encoding='utf-8'))
    if found is None:
        return None
    study = json.loads(found[1])
    images = study['images']
    return {
        item['id']: [
            images[number]
            for number in (sum(item['sides'], []) if 'sides' in item else [item['image']])
        ]
        for item in study['items']
    }
