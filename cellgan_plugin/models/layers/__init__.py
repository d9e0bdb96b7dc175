"""Blocks that two or more models share."""

from .adain import AdaIN
from .resolutions import channels_by_resolution, check_image_size, resolutions_between
from .skip import LEAKY_SLOPE, SkipLayerExcitation, SkipLayerGlobalContext
from .spectral_norm import (
    OFFICIAL_INIT_GAIN,
    SpectralNorm,
    scale_initial_weights,
    sn_conv,
    sn_linear,
    with_spectral_norm,
)

__all__ = [
    'LEAKY_SLOPE',
    'OFFICIAL_INIT_GAIN',
    'AdaIN',
    'SkipLayerExcitation',
    'SkipLayerGlobalContext',
    'SpectralNorm',
    'channels_by_resolution',
    'check_image_size',
    'resolutions_between',
    'scale_initial_weights',
    'sn_conv',
    'sn_linear',
    'with_spectral_norm',
]
