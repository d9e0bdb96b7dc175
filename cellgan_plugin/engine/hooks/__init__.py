"""Hooks, registered in MMagic's HOOKS."""

from .checkpoint_hook import SafeCheckpointHook
from .model_selection_hook import ModelSelectionHook
from .non_finite_loss_hook import NonFiniteLossError, NonFiniteLossHook
from .pyramid_sheet_hook import PyramidSheetHook
from .reconstruction_sheet_hook import ReconstructionSheetHook
from .run_info_hook import DeferredRuntimeInfoHook
from .safety_hooks import PreemptionHook
from .sheet_hook import SampleSheetHook
from .throughput_hook import ThroughputHook
from .time_budget_hook import TimeBudgetHook
from .training_images_hook import TrainingImagesHook

__all__ = [
    'DeferredRuntimeInfoHook',
    'ModelSelectionHook',
    'NonFiniteLossError',
    'NonFiniteLossHook',
    'PreemptionHook',
    'PyramidSheetHook',
    'ReconstructionSheetHook',
    'SafeCheckpointHook',
    'SampleSheetHook',
    'ThroughputHook',
    'TimeBudgetHook',
    'TrainingImagesHook',
]
