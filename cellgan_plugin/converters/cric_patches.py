"""Which patches a CRIC field gives, and the class of each.

The rules:

1. A patch is centred at an annotated nucleus and shifted to stay inside the field.
2. A nucleus is *inside* when its position is at least ``border`` px within the patch edge, and
   *cut* when the edge passes within ``border`` px of it, on either side.
3. A patch bears the class of its most severe inside nucleus: NILM < ASC-US < LSIL < ASC-H < HSIL
   < SCC. It is left out when a cut nucleus is more severe than that, since half a nucleus would
   then decide the class, and when that class is not among ``classes``.
4. Nuclei within ``border`` px of the field's edge are cut in every patch: none is centred there.
5. In one field, two patches of one class have centres at least ``min_distance`` px apart.
   Patches whose centre nucleus bears the class go first, then the lower cell id.
"""

from collections import Counter
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np

from cellgan_plugin.converters.common import ConverterError
from cellgan_plugin.converters.cric_annotations import SEVERITY, Nucleus
from cellgan_plugin.datasets.file_names import fit_name


def plan_field(
    members: Sequence[Nucleus],
    scale: float,
    field_size: Tuple[int, int],
    size: int,
    border: int,
    min_distance: float,
    classes: Sequence[str],
    counts: Counter,
) -> List[Dict[str, object]]:
    """The patches of one field, by the rules at the top of this file.

    Args:
        members (Sequence[Nucleus]): The nuclei of the field.
        scale (float): Image px per annotation px.
        field_size (tuple[int, int]): Width and height of the image in px.
        size (int): Side of a patch in px.
        border (int): Of rule 2, in px.
        min_distance (float): Of rule 5, in px.
        classes (Sequence[str]): Of rule 3.
        counts (Counter): Why nuclei got no patch is added here.

    Returns:
        list[dict]: Manifest rows without ``split``.

    Raises:
        ConverterError: When the field is smaller than a patch.
    """
    if min(field_size) < size:
        raise ConverterError(
            f'{members[0].field}: {field_size[0]}x{field_size[1]} px is smaller than a patch of '
            f'{size} px; lower --size'
        )
    limit = np.array(field_size)
    position = np.array([(n.x * scale, n.y * scale) for n in members])
    severity = np.array([SEVERITY.index(n.label) for n in members])
    corner = np.clip(np.rint(position - size / 2), 0, limit - size).astype(np.int64)
    relative = position[None] - corner[:, None]  # (patch, nucleus, xy)
    inside = ((relative >= border) & (relative <= size - border)).all(-1)
    touched = ((relative > -border) & (relative < size + border)).all(-1) & ~inside
    worst_inside = np.where(inside, severity, -1).max(1)
    worst_touched = np.where(touched, severity, -1).max(1)

    candidates = []
    for index, nucleus in enumerate(members):
        label = SEVERITY[worst_inside[index]]
        if not inside[index, index]:
            counts['at the edge of the field'] += 1
        elif worst_touched[index] > worst_inside[index]:
            counts['a more severe nucleus is cut by the patch edge'] += 1
        elif label not in classes:
            counts[f'patch would be {label}, not among the classes'] += 1
        else:
            candidates.append((nucleus.label != label, nucleus.cell_id, index, label))
    rows, taken = [], {}
    for _, _, index, label in sorted(candidates):
        nucleus, here = members[index], corner[index]
        others = taken.setdefault(label, [])
        # Equal windows are one image, whatever distance is asked for.
        if any(np.hypot(*(here - other)) < max(min_distance, 1) for other in others):
            counts['too near to another patch of the class'] += 1
            continue
        others.append(here)
        stem = Path(nucleus.field).stem
        rows.append(
            {
                'file': f'{label}/{fit_name(stem, f"_{nucleus.cell_id:05d}.png")}',
                'label': label,
                'group': stem,
                'source_image': nucleus.field,
                'centre_cell_id': nucleus.cell_id,
                'centre_class': nucleus.label,
                'x0': int(here[0]),
                'y0': int(here[1]),
                'nuclei_inside': int(inside[index].sum()),
            }
        )
    return rows
