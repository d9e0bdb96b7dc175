"""The pyramid GAN of Li et al. (Med. Image Anal. 2022) and what it is compared with."""

from .discriminator import PyramidDiscriminator
from .fc_densenet import FCDenseNet
from .generator import MaskUNetGenerator, PyramidGenerator
from .library_segmenter import LibrarySegmenter
from .mean_teacher import MeanTeacher
from .pyramid import Pyramid
from .pyramid_gan import PyramidGAN
from .scales import Scale, parse_scales
from .whole_images import SegmentsWholeImages

__all__ = [
    'FCDenseNet',
    'LibrarySegmenter',
    'MaskUNetGenerator',
    'PyramidDiscriminator',
    'MeanTeacher',
    'Pyramid',
    'PyramidGAN',
    'PyramidGenerator',
    'Scale',
    'SegmentsWholeImages',
    'parse_scales',
]
