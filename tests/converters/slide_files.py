"""Small pyramidal slides and annotation files for the tests."""

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import tifffile

MPP = 0.25


def noise(height, width, seed=0, side=1):
    """RGB noise of grains of some px: what is read one pixel beside is not the same."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (-(-height // side), -(-width // side), 3), np.uint8)
    return np.repeat(np.repeat(small, side, 0), side, 1)[:height, :width]


def halved(image):
    """Area means of 2x2 px."""
    return cv2.resize(
        image, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA
    )


def write_slide(path, image, mpp=MPP, levels=3, compression='zlib', **options):
    """A tiled pyramidal TIFF whose levels halve; returns the levels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = []
    with tifffile.TiffWriter(path) as file:
        for level in range(levels):
            scale = {}
            if mpp is not None:
                per_cm = 1e4 / (mpp * 2**level)
                scale = dict(resolution=(per_cm, per_cm), resolutionunit='CENTIMETER')
            file.write(
                image, tile=(128, 128), photometric='rgb', compression=compression, metadata=None,
                subfiletype=1 if level else 0, **scale, **options,
            )  # fmt: skip
            made.append(image)
            image = halved(image)
    return made


def smear(height=1024, width=1024, seed=0):
    """A pale ground with a stained, sharp square in the middle; returns image and its box."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (238, 236, 240), np.int16)
    image += rng.integers(-2, 3, image.shape, np.int16)
    top, left, bottom, right = height // 4, width // 4, 3 * height // 4, 3 * width // 4
    part = image[top:bottom, left:right]
    grain = cv2.resize(
        rng.normal(0, 1, (part.shape[0] // 2, part.shape[1] // 2)), part.shape[1::-1]
    )
    part[:] = np.array((170, 90, 150)) + 30 * grain[..., None]
    return np.clip(image, 0, 255).astype(np.uint8), (left, top, right, bottom)


def feature(kind, coordinates, label='', number=1, **more):
    """One QuPath feature."""
    properties = {'objectType': 'annotation'}
    if label:
        properties['classification'] = {'name': label, 'color': [200, 0, 0]}
    return {
        'type': 'Feature', 'id': f'f{number}', 'properties': properties,
        'geometry': {'type': kind, 'coordinates': coordinates}, **more,
    }  # fmt: skip


def square(left, top, side):
    """Ring of a square."""
    right, bottom = left + side, top + side
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def write_geojson(path, features, bare=False):
    """An export of QuPath, as a collection or a bare list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = features if bare else {'type': 'FeatureCollection', 'features': features}
    Path(path).write_text(json.dumps(content), encoding='utf-8')
    return path


def asap(marks):
    """Text of ASAP's XML: marks of (name, type, group, points)."""
    rows = []
    for name, kind, group, points in marks:
        coordinates = ''.join(
            f'<Coordinate Order="{k}" X="{x}" Y="{y}" />' for k, (x, y) in enumerate(points)
        )
        rows.append(
            f'<Annotation Name="{name}" Type="{kind}" PartOfGroup="{group}" Color="#F4FA58">'
            f'<Coordinates>{coordinates}</Coordinates></Annotation>'
        )
    return (
        f'<?xml version="1.0"?><ASAP_Annotations><Annotations>{"".join(rows)}</Annotations>'
        '<AnnotationGroups /></ASAP_Annotations>'
    )


def write_huge_slide(path, side, mpp=MPP, height=None):
    """A JPEG-tiled TIFF of three levels (1, 4, 16) whose tiles are one and the same on the disk."""
    height = side if height is None else height
    image, _ = smear(256, 256)
    tile = cv2.imencode('.jpg', image[..., ::-1])[1].tobytes()
    body, directories = bytearray(b'II*\0' + bytes(4) + tile), []
    for downsample in (1, 4, 16):
        width, rows = side // downsample, height // downsample
        tiles = -(-width // 256) * -(-rows // 256)
        offsets, counts = (
            _append(body, struct.pack(f'<{tiles}I', *[value] * tiles)) for value in (8, len(tile))
        )
        bits = _append(body, struct.pack('<3H', 8, 8, 8))
        per_cm = _append(body, struct.pack('<2I', round(1e4 / (mpp * downsample)), 1))
        directories.append(
            [
                (254, 4, 1, int(downsample > 1)), (256, 4, 1, width), (257, 4, 1, rows),
                (258, 3, 3, bits), (259, 3, 1, 7), (262, 3, 1, 6), (277, 3, 1, 3),
                (282, 5, 1, per_cm), (283, 5, 1, per_cm), (284, 3, 1, 1), (296, 3, 1, 3),
                (322, 4, 1, 256), (323, 4, 1, 256), (324, 4, tiles, offsets),
                (325, 4, tiles, counts), (530, 3, 2, 2 | 2 << 16),
            ]
        )  # fmt: skip
    link = 4
    for tags in directories:
        entries = b''.join(struct.pack('<2H2I', *tag) for tag in tags)
        place = _append(body, struct.pack('<H', len(tags)) + entries + bytes(4))
        body[link : link + 4] = struct.pack('<I', place)
        link = len(body) - 4
    path.write_bytes(body)


def _append(body, data):
    body += bytes(len(body) % 2)
    body += data
    return len(body) - len(data)
