"""The text of a config, formatted once."""

import functools
from typing import Any, Tuple


def format_configs_once() -> None:
    """Let MMEngine remember the formatted text of a config.

    For: mmengine 0.10.7, whose ``Config.pretty_text`` runs yapf (0.1 s for a config of this
    repository) each time it is read: six times before the first iteration, and once per
    checkpoint. Safe to call again.
    """
    from mmengine.config import config

    original = config.FormatCode
    if hasattr(original, '__wrapped__'):
        return

    @functools.lru_cache(maxsize=16)
    def format_code(text: str, style: Tuple[Tuple[str, Any], ...], **options: Any):
        return original(text, style_config=dict(style), **options)

    @functools.wraps(original)
    def remembered(text: str, style_config: dict, **options: Any):
        return format_code(text, tuple(sorted(style_config.items())), **options)

    config.FormatCode = remembered
