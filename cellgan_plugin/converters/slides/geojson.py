"""QuPath's GeoJSON: a FeatureCollection, a bare list of features, or one feature."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

import numpy as np

from cellgan_plugin.converters.common import ConverterError
from cellgan_plugin.converters.slides.annotation import Annotation, AnnotationFile, polygon_of
from cellgan_plugin.converters.slides.readers import need

_LINES = ('LineString', 'MultiLineString')
_IGNORED = 'Ignore*'  # QuPath leaves objects of this class out of everything, too


def read_geojson(path: Path) -> AnnotationFile:
    """Read an export of QuPath, of one slide.

    Points, several points (each a cell of its own), polygons with holes, several polygons and
    collections of these are understood; of a detected cell its outline. Lines are counted and
    passed over, as are objects of QuPath's class ``Ignore*``. The class is
    ``properties.classification``: a text, or an object with ``name``.

    Raises:
        ConverterError: The file is no GeoJSON, or an object of it has no usable geometry; the
            message counts features from 1.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8-sig'))
    except OSError as error:
        raise ConverterError(f'{path}: cannot be read ({error.strerror})') from error
    except (ValueError, RecursionError) as error:
        raise ConverterError(f'{path}: not readable as JSON in UTF-8 ({error})') from error
    left_out: Counter = Counter()
    annotations: List[Annotation] = []
    for number, feature in enumerate(_features(content, path), 1):
        annotations += _read_feature(feature, number, path, left_out)
    return AnnotationFile({'': annotations}, dict(left_out))


def _features(content: Any, path: Path) -> List[Any]:
    if isinstance(content, list):
        return content
    if isinstance(content, dict) and content.get('type') == 'FeatureCollection':
        features = content.get('features')
        if isinstance(features, list):
            return features
    if isinstance(content, dict) and content.get('type') == 'Feature':
        return [content]
    raise ConverterError(
        f'{path}: is no GeoJSON of QuPath: expected a FeatureCollection or a list of features '
        '(QuPath: File > Export objects as GeoJSON)'
    )


def _read_feature(feature: Any, number: int, path: Path, left_out: Counter) -> Iterator[Annotation]:
    where = f'{path}, feature {number}'
    if not isinstance(feature, dict) or not isinstance(feature.get('geometry'), dict):
        raise ConverterError(f'{where}: has no geometry; export it from QuPath again')
    geometry = feature['geometry']
    kind = geometry.get('type')
    properties = feature.get('properties')
    properties = properties if isinstance(properties, dict) else {}
    name = str(feature.get('id') or properties.get('id') or number)
    label = _label(properties)
    if label == _IGNORED:
        left_out[f'annotations of the class {_IGNORED}, passed over'] += 1
        return
    try:
        shapes = _shapes(geometry, left_out)
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise ConverterError(
            f'{where} ({name}): geometry {kind!r} cannot be read ({error}); expected Point, '
            'MultiPoint, Polygon or MultiPolygon with numbers x, y, or a collection of these'
        ) from error
    for part, shape in enumerate(shapes, 1):
        own = name if len(shapes) == 1 else f'{name}#{part}'
        yield Annotation(own, label, shape, f'{where} ({own})', from_origin=True)


def _label(properties: Dict[str, Any]) -> str:
    classification = properties.get('classification')
    if isinstance(classification, dict):
        names = classification.get('names')
        joined = ': '.join(map(str, names)) if isinstance(names, list) else ''
        classification = classification.get('name') or joined
    return classification.strip() if isinstance(classification, str) else ''


def _shapes(geometry: Mapping[str, Any], left_out: Counter) -> List[Any]:
    shapely = need('shapely', 'annotations')
    kind = geometry.get('type')
    if kind in _LINES:
        left_out['lines, passed over'] += 1
        return []
    if kind == 'GeometryCollection':
        return [shape for part in geometry['geometries'] for shape in _shapes(part, left_out)]
    coordinates = geometry.get('coordinates')
    if kind == 'Point':
        return [shapely.Point(*_point(coordinates))]
    if kind == 'MultiPoint':
        return [shapely.Point(*_point(point)) for point in coordinates]
    if kind == 'Polygon':
        return [polygon_of(_rings(coordinates))]
    if kind == 'MultiPolygon':
        return [shapely.MultiPolygon([polygon_of(_rings(part)) for part in coordinates])]
    raise ValueError('a kind that is not read')


def _point(values: Any) -> Tuple[float, float]:
    x, y = float(values[0]), float(values[1])
    if not np.isfinite((x, y)).all():
        raise ValueError('a coordinate is no finite number')
    return x, y


def _rings(rings: Any) -> List[np.ndarray]:
    made = [np.array([_point(point) for point in ring], float) for ring in rings]
    if not made or min(map(len, made)) < 4:
        raise ValueError('a ring has fewer than four points, the last of which repeats the first')
    return made
