"""Perceptual losses on the features of a frozen network whose weights lie on the disk."""

import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from mmengine.logging import print_log
from torch import Tensor, nn

from cellgan_plugin.checkpoint_files import find_checkpoint
from cellgan_plugin.checkpoint_reading import read_state_dict
from cellgan_plugin.compat import load_tensors
from cellgan_plugin.files import file_sha256
from cellgan_plugin.models.layers import check_one_of, checkpointed

VGG_VARIABLE = 'CELLGAN_VGG_WEIGHTS'
# Positions in torchvision's ``features`` of the ReLU before each pooling layer: relu1_2, relu2_2,
# relu3_3, relu4_3, relu5_3 for VGG-16, what LPIPS compares (Zhang et al. 2018, Sec. 3).
_LAYERS = {
    'vgg11': (1, 4, 9, 14, 19),
    'vgg13': (3, 8, 13, 18, 23),
    'vgg16': (3, 8, 15, 22, 29),
    'vgg19': (3, 8, 17, 26, 35),
}
# ImageNet's mean and standard deviation, of grey levels in [0, 1].
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_SOURCE = 'https://download.pytorch.org/models/{}'
_FILES = dict(
    vgg11='vgg11-8a719046.pth',
    vgg13='vgg13-19584684.pth',
    vgg16='vgg16-397923af.pth',
    vgg19='vgg19-dcbb9e9d.pth',
)


def perceptual_weights(config: Optional[Mapping[str, Any]]) -> Optional[str]:
    """The file that a perceptual loss of this config reads; None where the term is off."""
    if not config:
        return None
    named = config.get('weights')
    if not named and str(config.get('type', '')).split('.')[-1] != 'ClassifierPerceptualLoss':
        named = os.environ.get(VGG_VARIABLE)
    return str(named or '') or None


class _FeatureDistance(nn.Module):
    """What the perceptual losses share: a frozen network beside the checkpoint, and its distance.

    The network belongs to no checkpoint: it never changes.
    """

    def __init__(
        self,
        num_layers: int,
        loss_weight: float,
        distance: str,
        layer_weights: Optional[Sequence[float]],
        checkpoint: bool,
    ):
        super().__init__()
        check_one_of(('lpips', 'l1'), distance=distance)
        self.loss_weight = loss_weight
        self.distance = distance
        self.checkpoint = checkpoint
        self.layer_weights = tuple(layer_weights or [1.0] * num_layers)
        if len(self.layer_weights) != num_layers:
            raise ValueError(
                f'layer_weights has {len(self.layer_weights)} entries for {num_layers} layers'
            )
        # In a list, so that it is no part of the state dict; _apply moves it to the device.
        self._hidden: List[nn.Module] = []
        self.weights_sha256: Optional[str] = None

    @property
    def enabled(self) -> bool:
        """Whether there are weights."""
        return bool(self._hidden)

    def _apply(self, fn, *args, **kwargs):
        for network in self._hidden:
            network._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)

    def forward(self, img: Tensor, target: Tensor) -> Tensor:
        """Compare two batches (N, 3 or 1, H, W) in [-1, 1], RGB; the gradient flows into both.

        Returns:
            Tensor: Scalar: the mean over the batch, times ``loss_weight``.
        """
        if not self.enabled:
            return img.new_zeros(())
        network = self._hidden[0]
        network.checkpoint = self.checkpoint
        function = network.l1 if self.distance == 'l1' else network.lpips
        return self.loss_weight * function(img, target, self.layer_weights).mean()


@MODELS.register_module()
class ClassifierPerceptualLoss(_FeatureDistance):
    """Distance of two images in the feature space of a classifier of one's own.

    For data of which a network trained on the data set itself says more than ImageNet's, or where
    VGG weights are not to be had (docs/pyramid_gan.md). The distance is that of
    :class:`VGGPerceptualLoss`; Johnson et al. 2016 compare features of one network as well.

    Args:
        network (dict): Config of a network that returns its feature maps, one per stage, e.g. the
            backbone of an MMPretrain classifier with ``out_indices=(0, 1, 2, 3)``.
        weights (str | Path): Its checkpoint: a work directory, ``*.pth`` or ``*.safetensors``.
        prefix (str): Of its keys in the checkpoint. Defaults to 'backbone.'.
        mean (Sequence[float]): Subtracted from grey levels in [0, 255], as the classifier's
            ``data_preprocessor`` does. Defaults to those of ImageNet.
        std (Sequence[float]): What it divides by. Defaults to those of ImageNet.
        loss_weight (float): Defaults to 1.0.
        distance (str): 'lpips' or 'l1'. Defaults to 'l1'.
        layer_weights (Sequence[float], optional): One per feature map. Defaults to None: all 1.
        checkpoint (bool): Recompute the inside of the network in the backward: less memory, more
            time, the same numbers. Defaults to False.

    Raises:
        FileNotFoundError: There is no checkpoint.
        ValueError: The weights are of another network, or ``out_indices`` are missing.
    """

    def __init__(
        self,
        network: dict,
        weights: Union[str, Path],
        prefix: str = 'backbone.',
        mean: Sequence[float] = tuple(255 * value for value in _MEAN),
        std: Sequence[float] = tuple(255 * value for value in _STD),
        loss_weight: float = 1.0,
        distance: str = 'l1',
        layer_weights: Optional[Sequence[float]] = None,
        checkpoint: bool = False,
    ):
        if not network.get('out_indices'):
            raise ValueError('network.out_indices: say which stages are compared, e.g. (0, 1, 2)')
        super().__init__(
            len(network['out_indices']), loss_weight, distance, layer_weights, checkpoint
        )
        weights = find_checkpoint(weights)
        self._hidden.append(_Stages(network, weights, prefix, mean, std))
        self.weights_sha256 = file_sha256(weights)
        print_log(f'Perceptual loss: {network["type"]} from {weights}', 'current')


@MODELS.register_module()
class VGGPerceptualLoss(_FeatureDistance):
    """Distance of two images in the feature space of a VGG network trained on ImageNet.

    LPIPS (Zhang et al. 2018, Eq. 1): the features of each layer are normalised to unit length
    over the channels; squared differences are summed over channels (times the learned weights
    where ``linear_weights`` are given), averaged over positions, summed over layers. With
    ``distance='l1'`` the features are compared as they are: the mean absolute difference of each
    layer, times its entry of ``layer_weights``, summed (pix2pixHD; Li et al. 2022, Sec. 3.1.3).

    Nothing is downloaded. Without weights the term is off (:attr:`enabled` is False, and calling it
    gives 0), which the log says once. The network belongs to no checkpoint: it never changes.

    Args:
        weights (str | Path, optional): File of torchvision's VGG (keys ``features.*``; the
            classifier is not needed). Defaults to None: the environment variable
            ``CELLGAN_VGG_WEIGHTS``; where that is not set either, the term is off.
        arch (str): 'vgg11', 'vgg13', 'vgg16' or 'vgg19'. Defaults to 'vgg16'.
        layers (Sequence[int], optional): Positions in torchvision's ``features`` whose outputs are
            compared. Defaults to None: the ReLU before each pooling.
        linear_weights (str | Path, optional): LPIPS' learned weights of the channels, for
            ``arch='vgg16'`` and its default layers (``weights/v0.1/vgg.pth`` in the package
            ``lpips``; ``'lpips'`` takes it from there). Defaults to None: all 1, the uncalibrated
            form.
        loss_weight (float): Defaults to 1.0.
        distance (str): 'lpips' or 'l1'. Defaults to 'lpips'.
        layer_weights (Sequence[float], optional): One per layer, in ascending order of ``layers``.
            Defaults to None: all 1.
        checkpoint (bool): Recompute the inside of every layer group in the backward: less memory,
            more time, the same numbers. Defaults to False.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: The weights are of another network.
    """

    def __init__(
        self,
        weights: Optional[Union[str, Path]] = None,
        arch: str = 'vgg16',
        layers: Optional[Sequence[int]] = None,
        linear_weights: Optional[Union[str, Path]] = None,
        loss_weight: float = 1.0,
        distance: str = 'lpips',
        layer_weights: Optional[Sequence[float]] = None,
        checkpoint: bool = False,
    ):
        if arch not in _LAYERS:
            raise ValueError(f'arch={arch!r}: must be one of {list(_LAYERS)}')
        layers = tuple(sorted(layers or _LAYERS[arch]))
        super().__init__(len(layers), loss_weight, distance, layer_weights, checkpoint)
        self.layers = layers
        weights = perceptual_weights(dict(weights=weights))
        if not weights:
            print_log(
                f'The perceptual loss is off: there are no VGG weights. Set {VGG_VARIABLE}=FILE '
                "(or weights of VGGPerceptualLoss), torchvision's, e.g. "
                + _SOURCE.format(_FILES[arch]),
                'current',
            )
            return
        if linear_weights and (arch != 'vgg16' or self.layers != _LAYERS['vgg16']):
            raise ValueError("linear_weights are those of arch='vgg16' and its default layers")
        if linear_weights and distance != 'lpips':
            raise ValueError("linear_weights belong to distance='lpips'")
        self._hidden.append(_VGG(arch, self.layers, weights, linear_weights))
        self.weights_sha256 = file_sha256(weights)
        print_log(f'Perceptual loss: {arch} from {weights}', 'current')


class _Frozen(nn.Module):
    """A network that never changes, and two distances of its feature maps."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.checkpoint = False
        self.linear = nn.ParameterList()
        # Images are in [-1, 1], mean and standard deviation of grey levels in [0, 1].
        self.register_buffer('mean', torch.as_tensor(mean).view(-1, 1, 1))
        self.register_buffer('std', torch.as_tensor(std).view(-1, 1, 1))

    def _normalised(self, img: Tensor) -> Tensor:
        return ((img.expand(-1, 3, -1, -1) + 1) / 2 - self.mean) / self.std

    def _maps(self, img: Tensor) -> Sequence[Tensor]:
        raise NotImplementedError

    def _both(self, img: Tensor, target: Tensor) -> Iterator[Tuple[Tensor, Tensor]]:
        return zip(self._maps(img), self._maps(target), strict=True)

    def lpips(self, img: Tensor, target: Tensor, weights: Sequence[float]) -> Tensor:
        """LPIPS distance (N,), float32."""
        total = 0.0
        for index, (a, b) in enumerate(self._both(img, target)):
            # A position without any feature stays 0, and its gradient finite.
            a, b = (F.normalize(x.float(), dim=1, eps=1e-10) for x in (a, b))
            squared = (a - b).square()
            if len(self.linear):
                squared = squared * self.linear[index]
            total = total + weights[index] * squared.sum(dim=1).mean(dim=(1, 2))
        return total

    def l1(self, img: Tensor, target: Tensor, weights: Sequence[float]) -> Tensor:
        """Mean absolute difference of the features (N,), weighted over the layers, float32."""
        total = 0.0
        for weight, (a, b) in zip(weights, self._both(img, target), strict=True):
            total = total + weight * (a.float() - b.float()).abs().mean(dim=(1, 2, 3))
        return total


class _Stages(_Frozen):
    """A network of a config, all of whose outputs are compared."""

    def __init__(
        self,
        network: dict,
        weights: Path,
        prefix: str,
        mean: Sequence[float],
        std: Sequence[float],
    ):
        super().__init__(*(torch.tensor(values) / 255 for values in (mean, std)))
        self.network = MODELS.build(network)
        state = {
            key.removeprefix(prefix): value
            for key, value in read_state_dict(weights).items()
            if key.startswith(prefix)
        }
        own = self.network.state_dict()
        wrong = [key for key in own if key not in state or state[key].shape != own[key].shape]
        if wrong:
            there = tuple(state[wrong[0]].shape) if wrong[0] in state else 'missing'
            raise ValueError(
                f'{weights} are no weights of this {network["type"]}: {prefix}{wrong[0]} is '
                f'{there}, expected {tuple(own[wrong[0]].shape)}. Give network the arguments of '
                'the classifier, and prefix its name there'
            )
        self.network.load_state_dict({key: state[key] for key in own})
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> '_Stages':
        """Batch norms keep the statistics of the classifier."""
        return super().train(False)

    def _maps(self, img: Tensor) -> Sequence[Tensor]:
        img = self._normalised(img)
        return checkpointed(self, self.network, img) if self.checkpoint else self.network(img)


class _VGG(_Frozen):
    """The frozen layers of VGG up to the last one that is compared."""

    def __init__(
        self,
        arch: str,
        layers: Sequence[int],
        weights: Union[str, Path],
        linear_weights: Optional[Union[str, Path]],
    ):
        super().__init__(_MEAN, _STD)
        from torchvision.models import vgg

        self.layers = tuple(layers)
        # Only the convolutions are built; the classifier would be most of the network.
        plan = vgg.cfgs[{'vgg11': 'A', 'vgg13': 'B', 'vgg16': 'D', 'vgg19': 'E'}[arch]]
        self.features = vgg.make_layers(plan)[: self.layers[-1] + 1]
        for module in self.features:
            if isinstance(module, nn.ReLU):
                module.inplace = False  # the value before it is compared where layers say so
        _load_features(self.features, weights, arch)
        if linear_weights:
            self.linear.extend(_load_linear(linear_weights))
        self.requires_grad_(False)
        self.eval()

    def _maps(self, img: Tensor) -> List[Tensor]:
        img = self._normalised(img)
        maps, start = [], 0
        for layer in self.layers:
            group = self.features[start : layer + 1]
            img = checkpointed(group, group, img) if self.checkpoint else group(img)
            maps.append(img)
            start = layer + 1
        return maps


def _load_features(features: nn.Module, weights: Union[str, Path], arch: str) -> None:
    state = load_tensors(weights, 'cpu')
    state = state.get('state_dict', state)
    own: Dict[str, Tensor] = {}
    for key, value in features.state_dict().items():
        found = state.get(f'features.{key}')
        if found is None or found.shape != value.shape:
            problem = 'missing' if found is None else f'{tuple(found.shape)}'
            raise ValueError(
                f"{weights} are no weights of torchvision's {arch}: features.{key} is {problem}, "
                f'expected {tuple(value.shape)}. Give the file of {arch}, or set arch'
            )
        own[key] = found
    features.load_state_dict(own)


def _load_linear(path: Union[str, Path]) -> List[nn.Parameter]:
    if str(path) == 'lpips':
        # Found, not imported: the import builds more than is needed.
        import importlib.util

        spec = importlib.util.find_spec('lpips')
        if spec is None:
            raise ValueError("linear_weights='lpips' needs the package: pip install lpips")
        path = Path(spec.origin).parent / 'weights' / 'v0.1' / 'vgg.pth'
    state = load_tensors(path, 'cpu')
    try:
        return [nn.Parameter(state[f'lin{i}.model.1.weight']) for i in range(5)]
    except KeyError as error:
        raise ValueError(f'{path} are no weights of LPIPS for VGG-16: {error} is missing') from None
