"""Hooks, registered in MMagic's HOOKS."""

from .checkpoint_hook import SafeCheckpointHook
from .safety_hooks import NonFiniteLossError, NonFiniteLossHook, PreemptionHook
from .sheet_hook import SampleSheetHook
from .throughput_hook import ThroughputHook

__all__ = [
    'NonFiniteLossError',
    'NonFiniteLossHook',
    'PreemptionHook',
    'SafeCheckpointHook',
    'SampleSheetHook',
    'ThroughputHook',
]
