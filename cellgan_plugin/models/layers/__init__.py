"""Blocks that two or more models share."""

from .activation_checkpoint import checkpointed
from .adain import AdaIN
from .arguments import check_at_least, check_one_of
from .conditional_batch_norm import (
    BatchStatistics,
    ConditionalBatchNorm2d,
    GlobalBatchNorm2d,
    class_norm,
)
from .cross_rank import gather_rows, sum_over_ranks
from .generator_inputs import are_class_weights, class_weights, noise_and_label
from .minibatch_deviation import MinibatchDeviation
from .minibatch_discrimination import MinibatchDiscrimination
from .modes import evaluating
from .precision import at_least_float32
from .resolutions import (
    channels_by_resolution,
    check_image_size,
    height_and_width,
    resolutions_between,
)
from .self_attention import SelfAttention
from .skip import LEAKY_SLOPE, SkipLayerExcitation, SkipLayerGlobalContext
from .spectral_norm import (
    OFFICIAL_INIT_GAIN,
    SpectralNorm,
    normalised_once,
    remove_spectral_norm_for_training,
    scale_initial_weights,
    sn_conv,
    sn_linear,
    sn_upsampling_conv,
    with_spectral_norm,
)
from .upsampling import UpsamplingConv2d, upsampling_conv_weight

__all__ = [
    'LEAKY_SLOPE',
    'OFFICIAL_INIT_GAIN',
    'AdaIN',
    'BatchStatistics',
    'ConditionalBatchNorm2d',
    'GlobalBatchNorm2d',
    'MinibatchDeviation',
    'MinibatchDiscrimination',
    'SelfAttention',
    'SkipLayerExcitation',
    'SkipLayerGlobalContext',
    'SpectralNorm',
    'UpsamplingConv2d',
    'are_class_weights',
    'at_least_float32',
    'channels_by_resolution',
    'check_at_least',
    'check_image_size',
    'check_one_of',
    'checkpointed',
    'class_norm',
    'class_weights',
    'evaluating',
    'gather_rows',
    'height_and_width',
    'noise_and_label',
    'normalised_once',
    'remove_spectral_norm_for_training',
    'resolutions_between',
    'scale_initial_weights',
    'sn_conv',
    'sn_linear',
    'sn_upsampling_conv',
    'sum_over_ranks',
    'upsampling_conv_weight',
    'with_spectral_norm',
]
