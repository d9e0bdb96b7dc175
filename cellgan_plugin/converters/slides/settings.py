"""What patches are asked for, and the scale of a slide."""

from dataclasses import asdict, dataclass
from typing import Dict, NamedTuple, Optional, Sequence, Tuple, Union

from cellgan_plugin.converters.common import ConverterError, check_area
from cellgan_plugin.converters.fitting import MPP_RANGE, check_mpp
from cellgan_plugin.converters.slides.readers import SlideError, SlideInfo
from cellgan_plugin.datasets.image_encoding import check_format

# A 10x objective gives about 1 um per pixel of a scanner's camera, 40x about 0.25.
_MPP_TIMES_OBJECTIVE = 10.0
POLYGON_COVERAGE, TISSUE_COVERAGE = 0.8, 0.3
# Pixels of a level may be this much coarser than asked for before the next finer one is read.
_SAME_SCALE = 1.01


@dataclass(frozen=True)
class PatchSettings:
    """What decides the patches; made by :func:`make_settings`, which checks it.

    Attributes:
        area (tuple[int, int]): Height and width of a patch, px.
        mpp (float): Microns per pixel of a patch.
        stride (tuple[int, int]): Steps of the grid down and across, px of the patches.
        coverage (float | None): Least share of a tile of the grid inside the polygon or on tissue.
            None: 0.8 of a polygon, 0.3 of tissue, for cells of a smear are apart.
        focus (float): Least sharpness of tissue, see
            :func:`~cellgan_plugin.converters.slides.tissue.sharpness`; 0 keeps all.
        assume_mpp (float | None): Of slides that do not say theirs.
        file_format (str): ``'png'`` or ``'jpg'``.
        masks (bool): Write instance masks of the polygons beside the tiles.
        region (str): With ``masks``: label of the polygons that are tiled; '' tiles everywhere
            that objects cover ``coverage``.
        oriented (bool): Polygons are epithelium: patches along their middle, basal layer below.
    """

    area: Tuple[int, int]
    mpp: float
    stride: Tuple[int, int]
    coverage: Optional[float] = None
    focus: float = 0.5
    assume_mpp: Optional[float] = None
    file_format: str = 'png'
    masks: bool = False
    region: str = ''
    oriented: bool = False

    def as_dict(self) -> Dict[str, object]:
        """For the record of a conversion."""
        return asdict(self)


def make_settings(
    mpp: float,
    size: Union[int, Sequence[int]] = 256,
    stride: Union[int, Sequence[int], None] = None,
    coverage: Optional[float] = None,
    focus: float = 0.5,
    assume_mpp: Optional[float] = None,
    file_format: str = 'png',
    masks: bool = False,
    region: str = '',
    oriented: bool = False,
) -> PatchSettings:
    """Check what was asked for; see :class:`PatchSettings`.

    Raises:
        ConverterError: On values that cannot be.
    """
    area = check_area(size)
    area = (area, area) if isinstance(area, int) else area
    steps = area if stride is None else stride
    steps = (steps, steps) if isinstance(steps, int) else tuple(steps)
    if len(steps) != 2 or min(steps) < 1:
        raise ConverterError(f'stride is {stride}; expected px of the patches, 1 or more')
    if coverage is not None and not 0 < coverage <= 1:
        raise ConverterError(f'coverage is {coverage}; expected a share above 0, up to 1')
    if not 0 <= focus < 2:
        raise ConverterError(f'focus is {focus}; expected 0 (keep all) to below 2, e.g. 0.5')
    if assume_mpp is not None:
        assume_mpp = check_mpp(assume_mpp, 'assume-mpp')
    try:
        file_format = check_format(file_format)
    except ValueError as error:
        raise ConverterError(str(error)) from error
    if masks and oriented:
        raise ConverterError('masks and oriented patches are two conversions; give one')
    if region and not masks:
        raise ConverterError('a region is for masks; give --masks, too')
    return PatchSettings(
        area,
        check_mpp(mpp, 'mpp'),
        steps,
        coverage,
        focus,
        assume_mpp,
        file_format,
        masks,
        region,
        oriented,
    )


class Scale(NamedTuple):
    """Microns per level-0 pixel of a slide, and who says so."""

    x: float
    y: float
    source: str


def scale_of(info: SlideInfo, given: Optional[float], assumed: Optional[float]) -> Scale:
    """The scale of a slide: of the table, of the file, of its objective, or as assumed.

    Args:
        info (SlideInfo): Of the slide.
        given (float | None): The table of slides says so; goes before what the file says.
        assumed (float | None): For slides that do not say.

    Raises:
        SlideError: Nobody says, with the ways out.
    """
    if given is not None:
        return Scale(given, given, 'table')
    low, high = MPP_RANGE
    if info.mpp is not None and all(low <= mpp <= high for mpp in info.mpp):
        return Scale(*info.mpp, 'file')
    if assumed is not None:
        return Scale(assumed, assumed, 'assumed')
    if info.objective:
        mpp = _MPP_TIMES_OBJECTIVE / info.objective
        return Scale(mpp, mpp, f'objective {info.objective:g}x')
    says = 'does not say its microns per pixel'
    if info.mpp is not None:
        # A TIFF of 72 or 96 dpi: the default of a program, not the scale of a scan.
        says = f'says {info.mpp[0]:.4g} microns per pixel, which no scanner has'
    raise SlideError(
        f'{says}, nor an objective: give --assume-mpp, or a column mpp in the table of --slides'
    )


class Field(NamedTuple):
    """What of a slide becomes one patch.

    Attributes:
        level (int): Level that is read.
        downsample (float): Level-0 px per px of that level.
        read (tuple[int, int]): Width and height, px of that level.
        width, height (float): The same, level-0 px.
        factor (float): Patch px per px read; above 1 the patch is enlarged.
        last (tuple[int, int]): Largest x and y of an upper left corner, px of the level.
    """

    level: int
    downsample: float
    read: Tuple[int, int]
    width: float
    height: float
    factor: float
    last: Tuple[int, int]


def field_of(info: SlideInfo, scale: Scale, settings: PatchSettings) -> Field:
    """Choose the coarsest level that is fine enough, and how much of it a patch shows."""
    wanted = settings.mpp / max(scale.x, scale.y)
    levels = [
        level
        for level, downsample in enumerate(info.downsamples)
        if downsample <= wanted * _SAME_SCALE
    ]
    level = max(levels, key=lambda level: info.downsamples[level], default=0)
    downsample = info.downsamples[level]
    height, width = settings.area
    across, down = settings.mpp / scale.x, settings.mpp / scale.y  # level-0 px per px of the patch
    read = (max(1, round(width * across / downsample)), max(1, round(height * down / downsample)))
    last = tuple(max(0, side - part) for side, part in zip(info.levels[level], read, strict=True))
    factor = downsample / max(across, down)
    return Field(level, downsample, read, width * across, height * down, factor, last)
