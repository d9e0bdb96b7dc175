"""What MMEngine and MMagic lack for training: loops, hooks, checkpoints, mixed precision."""

from .amp import BFloat16OptimWrapper
from .checkpoint import AtomicLocalBackend, find_resumable
from .hooks import (
    DeferredRuntimeInfoHook,
    ModelSelectionHook,
    NonFiniteLossHook,
    PreemptionHook,
    PyramidSheetHook,
    ReconstructionSheetHook,
    SafeCheckpointHook,
    SampleSheetHook,
    ThroughputHook,
    TimeBudgetHook,
    TrainingImagesHook,
)
from .loops import ResumableTrainLoop
from .scale_loop import ScaleTrainLoop
from .scale_optimizers import ScaleOptimWrapperConstructor

__all__ = [
    'AtomicLocalBackend',
    'BFloat16OptimWrapper',
    'DeferredRuntimeInfoHook',
    'ModelSelectionHook',
    'NonFiniteLossHook',
    'PreemptionHook',
    'PyramidSheetHook',
    'ReconstructionSheetHook',
    'ResumableTrainLoop',
    'SafeCheckpointHook',
    'SampleSheetHook',
    'ScaleOptimWrapperConstructor',
    'ScaleTrainLoop',
    'ThroughputHook',
    'TimeBudgetHook',
    'TrainingImagesHook',
    'find_resumable',
]
