"""Published networks by name: input, normalisation and pooling as their model cards say."""

from dataclasses import dataclass, field
from typing import Any, Dict, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
BIOPTIMUS = dict(mean=(0.707223, 0.578729, 0.703617), std=(0.211883, 0.230117, 0.177517))
# facebookresearch/dinov2 adds this to the number of patches before it divides by the number of
# positions, so that rounding never loses a patch; it shifts the sampled positions a little.
_DINOV2_OFFSET = 0.1


@dataclass(frozen=True)
class Preset:
    """How a published network turns an image into features.

    Attributes:
        title (str): What tables call it: ``FD(<title>)``.
        arch (str): Its name in timm.
        pooling (str): See :class:`~cellgan_plugin.evaluation.BackboneFeatures`.
        interpolation (str): Of resizing images to ``input_size``.
        mean, std (tuple[float, ...]): Of the RGB channels in [0, 1].
        url (str): The model card.
        licence (str): Of the weights.
        access (str): What one has to do to get them.
        kwargs (dict): Of timm's constructor.
        swiglu (bool): SwiGLU and SiLU in the feed-forward layers, which kwargs of a model card
            name by class.
        input_size (int): Side in pixels.
        dinov2_positions (bool): Resample the position embedding as DINOv2's own program does.
    """

    title: str
    arch: str
    pooling: str
    interpolation: str
    mean: Tuple[float, ...]
    std: Tuple[float, ...]
    url: str
    licence: str
    access: str
    kwargs: Dict[str, Any] = field(default_factory=dict)
    swiglu: bool = False
    input_size: int = 224
    dinov2_positions: bool = False

    def arguments(self) -> Dict[str, Any]:
        """Arguments of timm's constructor, classes included."""
        if not self.swiglu:
            return dict(self.kwargs)
        from timm.layers import SwiGLUPacked

        return dict(self.kwargs, mlp_layer=SwiGLUPacked, act_layer=torch.nn.SiLU)


def _dinov2(size: str, letter: str) -> Preset:
    return Preset(
        title=f'DINOv2 ViT-{letter.upper()}/14',
        arch=f'vit_{size}_patch14_dinov2',
        # FD-DINOv2 (Stein et al. 2023): images at 224 px, bicubic, the normalised class token.
        pooling='class',
        interpolation='bicubic',
        url=f'https://dl.fbaipublicfiles.com/dinov2/dinov2_vit{letter}14/'
        f'dinov2_vit{letter}14_pretrain.pth',
        licence='Apache 2.0',
        access='open',
        dinov2_positions=True,
        **IMAGENET,
    )


PRESETS: Dict[str, Preset] = {
    'dinov2-vitb14': _dinov2('base', 'b'),
    'dinov2-vitl14': _dinov2('large', 'l'),
    'uni2-h': Preset(
        title='UNI2-h',
        arch='vit_giant_patch14_224',
        pooling='class',
        interpolation='bilinear',
        url='https://huggingface.co/MahmoodLab/UNI2-h',
        licence='CC BY-NC-ND 4.0',
        access='on request, with an institutional address',
        kwargs=dict(
            img_size=224,
            patch_size=14,
            depth=24,
            num_heads=24,
            init_values=1e-5,
            embed_dim=1536,
            mlp_ratio=2.66667 * 2,
            no_embed_class=True,
            reg_tokens=8,
        ),
        swiglu=True,
        **IMAGENET,
    ),
    'virchow2': Preset(
        title='Virchow2',
        arch='vit_huge_patch14_224',
        pooling='class+mean',
        interpolation='bicubic',
        url='https://huggingface.co/paige-ai/Virchow2',
        licence='CC BY-NC-ND 4.0',
        access='on request, with an institutional address',
        kwargs=dict(img_size=224, init_values=1e-5, reg_tokens=4, mlp_ratio=5.3375, global_pool=''),
        swiglu=True,
        **IMAGENET,
    ),
    'h0-mini': Preset(
        title='H0-mini',
        arch='vit_base_patch14_reg4_dinov2',
        pooling='class+mean',
        interpolation='bicubic',
        url='https://huggingface.co/bioptimus/H0-mini',
        licence='CC BY-NC-ND 4.0',
        access='on request',
        kwargs=dict(
            img_size=224, init_values=1e-5, reg_tokens=4, mlp_ratio=5.33334, global_pool=''
        ),
        swiglu=True,
        **BIOPTIMUS,
    ),
}


def fit_position_embedding(state: Dict[str, Tensor], grid: Tuple[int, int]) -> Dict[str, Tensor]:
    """Resample the position embedding of published DINOv2 weights to another grid of patches.

    Bicubic without antialiasing, with the offset of facebookresearch/dinov2
    (``interpolate_pos_encoding``), whose features FD-DINOv2 uses; timm's own resampling gives
    slightly others.

    Args:
        state (dict[str, Tensor]): With ``pos_embed`` (1, 1 + M * M, C): class token first.
        grid (tuple[int, int]): Rows and columns of patches.

    Returns:
        dict[str, Tensor]: As ``state``, ``pos_embed`` (1, 1 + rows * columns, C).
    """
    positions = state.get('pos_embed')
    if positions is None or positions.ndim != 3:
        return state
    side = round((positions.shape[1] - 1) ** 0.5)
    if side * side != positions.shape[1] - 1 or (side, side) == tuple(grid):
        return state
    class_token, patches = positions[:, :1], positions[:, 1:]
    patches = patches.reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
    scale = tuple((number + _DINOV2_OFFSET) / side for number in grid)
    patches = F.interpolate(patches, scale_factor=scale, mode='bicubic')
    patches = patches.flatten(2).transpose(1, 2).to(positions.dtype)
    return dict(state, pos_embed=torch.cat([class_token, patches], dim=1))
