"""Networks that turn uint8 images into features: what they share, and Inception.

A distance depends on its features as much as on its images. Every extractor therefore says what it
is (:meth:`FeatureExtractor.describe`), and two feature sets are compared only when the
fingerprints of their extractors agree.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Union

import torch
from mmagic.registry import MODELS
from torch import Tensor, nn

from cellgan_plugin.compat import load_tensors
from cellgan_plugin.datasets.classes import resolve_class
from cellgan_plugin.files import file_sha256

INCEPTION_VARIABLE = 'CELLGAN_INCEPTION_WEIGHTS'
INCEPTION_SHA256 = '6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2'
# The same file under the names that torch-fidelity and pytorch-fid publish it with.
INCEPTION_FILES = (
    'weights-inception-2015-12-05-6726825d.pth',
    'pt_inception-2015-12-05-6726825d.pth',
)
INCEPTION_URL = (
    f'https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_FILES[0]}'  # noqa: E501
)

Weights = Union[str, Path]


class ExtractorError(ValueError):
    """An extractor cannot be built, or does not do what is asked of it."""


def to_rgb_batch(images: Tensor) -> Tensor:
    """Grey uint8 images (N, 1, H, W) as RGB ones, (N, 3, H, W); ExtractorError for others."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ExtractorError(
            f'feature extractors take uint8 images of shape (N, 3, H, W) or (N, 1, H, W), got '
            f'{images.dtype} of shape {tuple(images.shape)}'
        )
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


class FeatureExtractor(nn.Module):
    """Base: uint8 images (N, 3, H, W) RGB in, float32 features (N, feature_dim) out.

    Attributes:
        name (str): Short name for tables and logs.
        feature_dim (int): Length of a feature vector.

    Subclasses implement :meth:`features` and :meth:`describe`, and call :meth:`finish` at the end
    of their construction.
    """

    name: str = ''
    feature_dim: int = 0

    def finish(self, side: int) -> None:
        """Freeze, find out ``feature_dim`` on one image of ``side`` pixels, fix the fingerprint."""
        self.requires_grad_(False)
        nn.Module.train(self, False)
        if not self.feature_dim:
            probe = torch.zeros((1, 3, side, side), dtype=torch.uint8)
            self.feature_dim = self(probe).shape[1]
        text = json.dumps(self.describe(), sort_keys=True)
        self._fingerprint = hashlib.sha256(text.encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """Hash of everything the features depend on but the images: weights, resize, kind."""
        return self._fingerprint

    @property
    def frechet_name(self) -> str:
        """What a Frechet distance of these features is called: FID for the true network only."""
        return 'FID' if self.name == 'Inception' else f'FD({self.name})'

    @property
    def kernel_name(self) -> str:
        """What a kernel distance of these features is called."""
        return 'KID' if self.name == 'Inception' else f'KD({self.name})'

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def train(self, mode: bool = True) -> 'FeatureExtractor':
        """Stay in evaluation mode."""
        return super().train(False)

    def describe(self) -> Dict[str, Any]:
        """Everything the features depend on but the images, as plain JSON values."""
        raise NotImplementedError

    def features(self, images: Tensor) -> Tensor:
        """Features (N, feature_dim) of checked uint8 images (N, 3, H, W) on the right device."""
        raise NotImplementedError

    def use_authors_arithmetic(self) -> None:
        """Compute as the authors' CellGAN program does, where the extractor can.

        Raises:
            ExtractorError: The arithmetic is that of Inception.
        """
        raise ExtractorError(
            f"the authors' arithmetic is one of Inception features, not of {self.name!r}: use "
            "extractor=dict(type='InceptionFeatures') or leave authors_arithmetic out"
        )

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features, float32 (N, feature_dim), of uint8 (N, 3, H, W) RGB or (N, 1, H, W) grey.

        The images may be on any device; the features are on the extractor's.
        """
        images = to_rgb_batch(images).to(self.device)
        # Inside a mixed-precision run the features stay those of a run without it.
        with torch.autocast(images.device.type, enabled=False):
            return self.features(images).float()

    def check_classes(self, classes: Sequence[str]) -> None:
        """Refuse images of classes that a classifier does not know.

        The backbone of another task's classifier gives features as well, and distances that look
        like any other: one forgotten environment variable is enough.

        Args:
            classes (Sequence[str]): Of the images to evaluate.

        Raises:
            ExtractorError: The classifier was trained on others, and ``any_classes`` is not set.
        """
        known = getattr(self, 'classes', None)
        strange = [name for name in classes if known and resolve_class(name, known) is None]
        if strange and not self.any_classes:
            raise ExtractorError(
                f'{self.name} was trained on the classes {list(known)}, but the images to evaluate '
                f'are of {list(classes)}: give the classifier of this task, or say '
                'any_classes=True in the config of the extractor (--any-classes of '
                'tools/evaluate_folders.py) to evaluate by this one'
            )

    def of_images(self, images: Sequence[Tensor]) -> Tensor:
        """As :meth:`forward` for a list of uint8 (C, H, W) images that may differ in size."""
        if len({tuple(image.shape) for image in images}) == 1:
            return self(torch.stack(list(images)))
        return torch.cat([self(image[None]) for image in images])


def find_inception_weights(weights: Optional[Weights] = None) -> Path:
    """Find the Inception weights: argument, ``CELLGAN_INCEPTION_WEIGHTS``, torch hub's cache.

    Raises:
        FileNotFoundError: With the file's name, SHA-256, address and where to put it.
    """
    cache = Path(torch.hub.get_dir()) / 'checkpoints'
    for source, value in (
        ('weights', weights),
        (INCEPTION_VARIABLE, os.environ.get(INCEPTION_VARIABLE)),
    ):
        if value:
            path = Path(value).expanduser()
            path = next((path / n for n in INCEPTION_FILES if (path / n).is_file()), path)
            if not path.is_file():
                raise FileNotFoundError(_missing_inception(f'{source} names {path}', cache))
            return path
    for name in INCEPTION_FILES:
        if (cache / name).is_file():
            return cache / name
    raise FileNotFoundError(_missing_inception(f'it is not in {cache}', cache))


def _missing_inception(where: str, cache: Path) -> str:
    return (
        f'the Inception weights for FID were not found: {where}. Get {INCEPTION_FILES[0]} '
        f'(95 MB, SHA-256 {INCEPTION_SHA256}; the same file is published as {INCEPTION_FILES[1]}) '
        f'from {INCEPTION_URL} and put it into {cache}, or set {INCEPTION_VARIABLE}=FILE. Without '
        "it, evaluate by a classifier of your own data: extractor=dict(type='ClassifierFeatures', "
        'config=..., checkpoint=...) (configs/classifiers/)'
    )


@MODELS.register_module()
class InceptionFeatures(FeatureExtractor):
    """Inception-v3 with the original FID weights (Heusel et al. 2017), through torch-fidelity.

    2048 features of the last pooling layer; images are resized to 299 px as TensorFlow 1 did.

    Args:
        weights (str | Path, optional): File, or a folder that holds it. Defaults to None: the
            environment variable ``CELLGAN_INCEPTION_WEIGHTS``, else torch hub's cache.
        verify (bool): Refuse a file with another SHA-256. With False the extractor is not called
            Inception, and its distance not FID. Defaults to True.

    Raises:
        FileNotFoundError: No weights; the message says where to get them.
        ExtractorError: torch-fidelity is not installed, or the file is another one.
    """

    feature_dim = 2048

    def __init__(self, weights: Optional[Weights] = None, verify: bool = True):
        super().__init__()
        path = find_inception_weights(weights)
        self.sha256 = file_sha256(path)
        if self.sha256 != INCEPTION_SHA256 and verify:
            raise ExtractorError(
                f'{path} is not the network of FID: its SHA-256 is {self.sha256}, expected '
                f'{INCEPTION_SHA256}. It may be cut off or another conversion; get it again from '
                f'{INCEPTION_URL}, or use BackboneFeatures for other weights'
            )
        self.name = 'Inception' if self.sha256 == INCEPTION_SHA256 else 'Inception, other weights'
        self.input_range = '[-1, 1]'
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError as error:
            raise ExtractorError('FID needs torch-fidelity: pip install torch-fidelity') from error
        # torch-fidelity unpickles the file freely; let it see only one that holds just tensors.
        load_tensors(path, 'cpu')
        self.network = FeatureExtractorInceptionV3('inception', ['2048'], str(path))
        self.finish(299)

    def use_authors_arithmetic(self) -> None:
        """Feed [0, 1] to the network, which expects [-1, 1], as the authors' program does."""
        if self.input_range == '[0, 1]':
            return
        self.input_range = '[0, 1]'
        # What arrives here is (grey - 128) / 128; resizing commutes with this.
        self.network.Conv2d_1a_3x3.register_forward_pre_hook(
            lambda _, inputs: ((inputs[0] * 128 + 128) / 255,)
        )
        self.name += ", authors' arithmetic"
        self.finish(299)

    def describe(self) -> Dict[str, Any]:
        """See the base."""
        return dict(
            kind='torch-fidelity Inception-v3, pool 2048',
            name=self.name,
            weights_sha256=self.sha256,
            resize='299 px, bilinear as TensorFlow 1',
            input_range=self.input_range,
            dtype='float32',
        )

    def features(self, images: Tensor) -> Tensor:
        """See the base."""
        return self.network(images)[0]


def build_extractor(extractor: Union[dict, FeatureExtractor]) -> FeatureExtractor:
    """Build from a config with ``type``, or pass an extractor through."""
    if isinstance(extractor, FeatureExtractor):
        return extractor
    return MODELS.build({'_scope_': 'mmagic', **extractor})
