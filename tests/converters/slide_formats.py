"""One picture as scanners write it: Aperio, Leica, Philips, Ventana, OME and DICOM."""

import struct

import numpy as np
import tifffile
from slide_files import halved

MPP = 0.25
TILE = 128
_TIFF = dict(
    tile=(TILE, TILE), photometric='rgb', compression='lzw', metadata=None,
    resolution=(1e4 / MPP, 1e4 / MPP), resolutionunit='CENTIMETER',
)  # fmt: skip


def pyramid(image, count=3):
    """Levels that halve."""
    levels = [image]
    while len(levels) < count:
        levels.append(halved(levels[-1]))
    return levels


def _size(level):
    return level.shape[1], level.shape[0]


def _xmp(text):
    return [(700, 1, len(text), text.encode(), True)]


def write_aperio(path, levels):
    """SVS: the scale in the description, a thumbnail in strips between the levels."""
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            width, height = _size(level)
            text = (
                f'Aperio Image Library v12.0.15\r\n{_size(levels[0])} ({TILE}x{TILE}) -> '
                f'{width}x{height}|AppMag = 40|MPP = {MPP}'
            )
            file.write(level, description=text, **{**_TIFF, 'resolution': (1, 1)})
            if number == 0:
                file.write(
                    levels[-1], photometric='rgb', rowsperstrip=16, metadata=None,
                    description='Aperio Image Library v12.0.15\r\nthumbnail',
                )  # fmt: skip


def write_leica(path, levels, offset=(0, 0)):
    """SCN: an area of the glass; the rest of it has no pixel."""
    width, height = _size(levels[0])
    nm = round(MPP * 1000)
    glass = [2 * side * nm for side in (width, height)]

    def image(name, sizes, first, view, shift, objective):
        dimensions = ''.join(
            f'<dimension sizeX="{w}" sizeY="{h}" r="{k}" ifd="{first + k}"/>'
            for k, (w, h) in enumerate(sizes)
        )
        return (
            f'<image name="{name}"><creationDate>2020-01-01T00:00:00Z</creationDate>'
            '<device model="SCN400" version="1"/>'
            f'<pixels sizeX="{sizes[0][0]}" sizeY="{sizes[0][1]}">'
            f'{dimensions}</pixels><view sizeX="{view[0]}" sizeY="{view[1]}" '
            f'offsetX="{shift[0] * nm}" offsetY="{shift[1] * nm}"/><scanSettings>'
            f'<objectiveSettings><objective>{objective}</objective></objectiveSettings>'
            '<illuminationSettings><numericalAperture>0.75</numericalAperture><illuminationSource>brightfield</illuminationSource>'
            '</illuminationSettings></scanSettings></image>'
        )

    sizes = [_size(level) for level in levels]
    text = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection name="c" sizeX="{glass[0]}" sizeY="{glass[1]}">'
        + image('macro', sizes[-1:], len(levels), glass, (0, 0), 1)
        + image('main', sizes, 0, (width * nm, height * nm), offset, 40)
        + '</collection></scn>'
    )
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for number, level in enumerate([*levels, levels[-1]]):
            scale = (1e4 / (MPP * 2**number),) * 2
            file.write(
                level, description=None if number else text, **{**_TIFF, 'resolution': scale}
            )


def write_philips(path, levels):
    """TIFF of a Philips scanner: the scale of every level in XML."""

    def attribute(name, group, element, kind, value):
        return (
            f'<Attribute Name="{name}" Group="{group}" Element="{element}" PMSVR="{kind}">'
            f'{value}</Attribute>'
        )

    def spacing(number):
        value = f'&quot;{MPP / 1000 * 2**number}&quot;'
        kind = ('0x0028', '0x0030', 'IDoubleArray')
        return attribute('DICOM_PIXEL_SPACING', *kind, f'{value} {value}')

    def objects(kind, content):
        return f'<DataObject ObjectType="{kind}">{content}</DataObject>'

    sequence = ''.join(
        objects(
            'PixelDataRepresentation',
            spacing(number)
            + attribute('PIIM_PIXEL_DATA_REPRESENTATION_NUMBER', '0x1001', '0x8B02', 'IUInt16',
                        number),
        )
        for number in range(len(levels))
    )  # fmt: skip
    scanned = objects(
        'DPScannedImage',
        attribute('PIM_DP_IMAGE_TYPE', '0x301D', '0x1004', 'IString', 'WSI')
        + spacing(0)
        + attribute('PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE', '0x1001', '0x8B01',
                    'IDataObjectArray', f'<Array>{sequence}</Array>'),
    )  # fmt: skip
    text = '<?xml version="1.0" encoding="UTF-8"?>' + objects(
        'DPUfsImport',
        attribute('DICOM_MANUFACTURER', '0x0008', '0x0070', 'IString', 'PHILIPS')
        + attribute('PIM_DP_SCANNED_IMAGES', '0x301D', '0x1003', 'IDataObjectArray',
                    f'<Array>{scanned}</Array>'),
    )  # fmt: skip
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            file.write(
                level, description=None if number else text, software='Philips DP v1.0',
                subfiletype=int(number > 0), **{**_TIFF, 'resolution': (1, 1)},
            )  # fmt: skip


def write_ventana(path, levels):
    """BIF: a label, then levels whose tiles are joined in a serpentine from the lower left."""
    rows, columns = levels[0].shape[0] // TILE, levels[0].shape[1] // TILE

    def number(row, column):
        up = rows - 1 - row
        return up * columns + (columns - 1 - column if up % 2 else column) + 1

    joints = [
        ('RIGHT', number(row, column), number(row, column + 1))
        for row in range(rows)
        for column in range(columns - 1)
    ] + [
        ('UP', number(row + 1, column), number(row, column))
        for row in range(rows - 1)
        for column in range(columns)
    ]
    joined = ''.join(
        f'<TileJointInfo FlagJoined="1" Confidence="100" Direction="{direction}" Tile1="{first}" '
        f'Tile2="{second}" OverlapX="0" OverlapY="0"/>'
        for direction, first, second in joints
    )
    scan = f'<Metadata><iScan Magnification="40" ScanRes="{MPP}" Z-layers="1"/></Metadata>'
    stitched = (
        f'<EncodeInfo Ver="2"><SlideStitchInfo><ImageInfo AOIScanned="1" AOIIndex="0" '
        f'NumRows="{rows}" NumCols="{columns}" Width="{TILE}" Height="{TILE}" Pos-X="0" '
        f'Pos-Y="0">{joined}</ImageInfo></SlideStitchInfo><AoiOrigin><AOI0 OriginX="0" '
        'OriginY="0"/></AoiOrigin></EncodeInfo>'
    )
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(
            levels[-1], description='Label Image', photometric='rgb', rowsperstrip=16,
            metadata=None, extratags=_xmp(scan),
        )  # fmt: skip
        for k, level in enumerate(levels):
            file.write(
                level, description=f'level={k} mag={40 / 2**k:g} quality=90',
                extratags=() if k else _xmp(stitched), **{**_TIFF, 'resolution': (1, 1)},
            )  # fmt: skip


def write_ome(path, levels):
    """OME-TIFF: levels in SubIFDs, the scale in XML alone."""
    options = dict(tile=(TILE, TILE), photometric='rgb', compression='lzw')
    scale = {f'PhysicalSize{axis}': MPP for axis in 'XY'}
    units = {f'PhysicalSize{axis}Unit': 'µm' for axis in 'XY'}
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        file.write(
            levels[0], subifds=len(levels) - 1, metadata={'axes': 'YXS', **scale, **units},
            **options,
        )  # fmt: skip
        for level in levels[1:]:
            file.write(level, subfiletype=1, **options)


# DICOM, explicit little endian --------------------------------------------------------------------

_LONG = ('OB', 'SQ')
_SLIDE_CLASS = '1.2.840.10008.5.1.4.1.1.77.1.6'
_UNCOMPRESSED = '1.2.840.10008.1.2.1'


def _element(tag, kind, value):
    if kind == 'US':
        data = struct.pack(f'<{len(value)}H', *value)
    elif kind == 'UL':
        data = struct.pack(f'<{len(value)}I', *value)
    elif kind == 'FL':
        data = struct.pack(f'<{len(value)}f', *value)
    elif kind == 'SQ':
        items = (b''.join(_element(*one) for one in item) for item in value)
        data = b''.join(struct.pack('<2HI', 0xFFFE, 0xE000, len(item)) + item for item in items)
    elif isinstance(value, bytes):
        data = value
    else:
        data = '\\'.join(map(str, value)).encode()
        data += (b'\0' if kind == 'UI' else b' ') * (len(data) % 2)
    head = struct.pack('<2H', tag >> 16, tag & 0xFFFF) + kind.encode()
    if kind in _LONG:
        return head + struct.pack('<HI', 0, len(data)) + data
    return head + struct.pack('<H', len(data)) + data


def write_dicom(folder, levels, series='1.2.3.4'):
    """A folder of one file for each level: tiled full, not compressed."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, level in enumerate(levels):
        width, height = _size(level)
        mm = MPP / 1000 * 2**number
        whole = np.pad(level, [(0, -height % TILE), (0, -width % TILE), (0, 0)])
        tiles = [
            whole[y : y + TILE, x : x + TILE].tobytes()
            for y in range(0, height, TILE)
            for x in range(0, width, TILE)
        ]
        uid = f'{series}.{number + 1}'
        meta = [
            (0x00020001, 'OB', b'\0\1'),
            (0x00020002, 'UI', [_SLIDE_CLASS]),
            (0x00020003, 'UI', [uid]),
            (0x00020010, 'UI', [_UNCOMPRESSED]),
            (0x00020012, 'UI', ['1.2.3']),
        ]
        source = ['DERIVED', 'RESAMPLED'] if number else ['ORIGINAL', 'NONE']
        pixel = [(0x00180050, 'DS', [0.001]), (0x00280030, 'DS', [mm, mm])]
        light = [
            (0x00080100, 'SH', ['111744']), (0x00080102, 'SH', ['DCM']),
            (0x00080104, 'LO', ['Brightfield illumination']),
        ]  # fmt: skip
        path = [
            (0x00220016, 'SQ', [light]), (0x00480106, 'SH', ['1']), (0x00480112, 'DS', [40]),
        ]  # fmt: skip
        content = [
            (0x00080008, 'CS', [source[0], 'PRIMARY', 'VOLUME', source[1]]),
            (0x00080016, 'UI', [_SLIDE_CLASS]),
            (0x00080018, 'UI', [uid]),
            (0x00080060, 'CS', ['SM']),
            (0x0020000D, 'UI', ['1.2.3.1']),
            (0x0020000E, 'UI', [series]),
            (0x00200013, 'IS', [number + 1]),
            (0x00200052, 'UI', ['1.2.3.2']),
            (0x00209311, 'CS', ['TILED_FULL']),
            (0x00280002, 'US', [3]),
            (0x00280004, 'CS', ['RGB']),
            (0x00280006, 'US', [0]),
            (0x00280008, 'IS', [len(tiles)]),
            (0x00280010, 'US', [TILE]),
            (0x00280011, 'US', [TILE]),
            (0x00280100, 'US', [8]),
            (0x00280101, 'US', [8]),
            (0x00280102, 'US', [7]),
            (0x00280103, 'US', [0]),
            (0x00480001, 'FL', [width * mm]),
            (0x00480002, 'FL', [height * mm]),
            (0x00480006, 'UL', [width]),
            (0x00480007, 'UL', [height]),
            (0x00480008, 'SQ', [[(0x0040072A, 'DS', [0]), (0x0040073A, 'DS', [0])]]),
            (0x00480102, 'DS', [0, -1, 0, -1, 0, 0]),
            (0x00480105, 'SQ', [path]),
            (0x00480302, 'UL', [1]),
            (0x00480303, 'UL', [1]),
            (0x52009229, 'SQ', [[(0x00289110, 'SQ', [pixel])]]),
            (0x7FE00010, 'OB', b''.join(tiles)),
        ]
        head = b''.join(_element(*one) for one in meta)
        body = b''.join(_element(*one) for one in content)
        length = _element(0x00020000, 'UL', [len(head)])
        (folder / f'level{number}.dcm').write_bytes(bytes(128) + b'DICM' + length + head + body)
    return folder
