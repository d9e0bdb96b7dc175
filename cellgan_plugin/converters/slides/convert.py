"""Slides and annotations -> class folders of patches with a manifest."""

from collections import Counter
from itertools import repeat
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from cellgan_plugin.converters.common import (
    ConversionResult,
    ConverterError,
    PathLike,
    begin_output,
    check_output,
    make_record,
    some_of,
    split_table,
)
from cellgan_plugin.converters.slides.cutting import (
    CutTask,
    Place,
    close_slides,
    cut,
    make_tasks,
)
from cellgan_plugin.converters.slides.inspect import (
    UNLABELLED,
    Inspected,
    InspectTask,
    inspect_slide,
)
from cellgan_plugin.converters.slides.known import Known, read_tables
from cellgan_plugin.converters.slides.overview import draw_overview
from cellgan_plugin.converters.slides.readers import list_slides
from cellgan_plugin.converters.slides.settings import PatchSettings
from cellgan_plugin.converters.slides.slide_table import SlideTable
from cellgan_plugin.converters.slides.slides_file import read_slides_file, write_slides_file
from cellgan_plugin.converters.splits import check_fractions, split_by_group
from cellgan_plugin.datasets.file_names import fit_name
from cellgan_plugin.datasets.inspection import with_progress
from cellgan_plugin.datasets.manifest import MANIFEST_NAME, write_manifest
from cellgan_plugin.datasets.sources import SPLITS
from cellgan_plugin.files import OVERVIEW_FOLDER
from cellgan_plugin.locks import writes_folder
from cellgan_plugin.processes import run_in_processes
from cellgan_plugin.records import digest_of

COLUMNS = (
    'file', 'label', 'split', 'group', 'slide', 'x', 'y', 'level', 'mpp', 'width', 'height',
    'original_width', 'original_height', 'factor', 'annotation',
)  # fmt: skip


@writes_folder('out_dir', deep=True)
def convert_slides(
    slides: PathLike,
    out_dir: PathLike,
    settings: PatchSettings,
    *,
    annotations: Optional[PathLike] = None,
    unit: str = 'px',
    class_map: Optional[Mapping[str, Sequence[str]]] = None,
    classes: Optional[Sequence[str]] = None,
    slide_table: Optional[PathLike] = None,
    slide_labels: Optional[PathLike] = None,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    skip_unmatched: bool = False,
    skip_faults: bool = False,
    workers: int = 1,
    progress: bool = True,
) -> ConversionResult:
    """Cut patches of one scale from slides, split by patient or slide.

    Without annotations, tissue is found and tiled. A slide that cannot be read is named and passed
    over; nothing of it is in the manifest. The same call continues what was interrupted, and tries
    such slides again.

    Args:
        slides (str | Path): A folder of slides, or one slide; only read.
        out_dir (str | Path): New, empty, or of the same conversion.
        settings (PatchSettings): Size, scale and grid, see :func:`make_settings`.
        annotations (str | Path, optional): A folder with one file for each slide, or one file; see
            :func:`read_annotations`.
        unit (str): Of coordinates in CSV files: ``'px'`` of level 0, or ``'um'``.
        class_map (Mapping[str, Sequence[str]], optional): Annotation classes that mean a class.
        classes (Sequence[str], optional): Classes to keep, in order. Defaults to those of
            ``class_map``, else to all that are annotated.
        slide_table (str | Path, optional): CSV with ``slide`` and any of ``patient``, ``split``,
            ``mpp``, ``label``.
        slide_labels (str | Path, optional): CSV with ``slide`` and ``label``: the class of the
            patches of slides without annotations.
        fractions (Sequence[float]): Of train, val and test. Defaults to 0.7, 0.15, 0.15.
        seed (int): Of the split. Defaults to 0.
        skip_unmatched (bool): Leave out annotations that no class fits. Defaults to False: refuse.
        skip_faults (bool): Leave out annotations outside the slide, crossing themselves, or
            contradicting another. Defaults to False: refuse.
        workers (int): Processes. The files are the same for any number. Defaults to 1.
        progress (bool): Show progress bars on a terminal. Defaults to True.

    Returns:
        ConversionResult: Manifest, rows, counts, summary, and the slides that were passed over.

    Raises:
        ConverterError: On anything in the inputs or arguments that cannot be used.
    """
    fractions = check_fractions(fractions)
    if workers < 1:
        raise ConverterError(f'workers is {workers}; expected 1 or more')
    out_dir = Path(out_dir)
    files = list_slides(slides)
    _check_apart(Path(slides), out_dir)
    if (settings.masks or settings.oriented) and annotations is None:
        what = 'masks' if settings.masks else 'oriented patches'
        raise ConverterError(f'{what} are of annotated polygons; give --annotations')
    if settings.masks and settings.file_format != 'png':
        raise ConverterError('tiles with masks are written as png: masks are exact, images too')
    if settings.region and classes is not None and settings.region not in classes:
        classes = [*classes, settings.region]
    elif settings.region and class_map:
        class_map = {**class_map, settings.region: [settings.region]}
    known = read_tables(
        files, annotations, unit, class_map, classes, slide_table, slide_labels, skip_unmatched
    )
    record = _record(files, known, settings, fractions, seed, skip_faults)
    former = read_slides_file(out_dir) if check_output(out_dir, record) else {}

    tasks = [
        InspectTask(
            name,
            str(path),
            settings,
            None if known.annotations is None else tuple(known.annotations.get(name, ())),
            known.slide_labels.get(name, UNLABELLED),
            known.table.mpp.get(name),
            str(out_dir / OVERVIEW_FOLDER / fit_name(name, '.jpg')),
        )
        for name, path in files.items()
    ]
    inspected = _run(inspect_slide, tasks, workers, progress, 'Slides')
    _refuse(inspected, former, skip_faults)
    damaged = {one.slide: one.error for one in inspected if one.error}
    groups = known.table.groups or {name: name for name in files}
    rows_of = {one.slide: _rows(one, groups, settings) for one in inspected if not one.error}
    planned = [row['file'] for rows in rows_of.values() for row in rows]
    if not planned and not damaged:
        raise ConverterError(f'{slides}: no patch: {_why(inspected)}')
    waiting = set(begin_output(out_dir, record, planned))
    places = _places(inspected, rows_of, waiting, out_dir)
    blurred = _cut(inspected, places, files, settings, workers, progress, damaged)

    rows = [
        row
        for slide, of_slide in rows_of.items()
        if slide not in damaged
        for row in of_slide
        if row['file'] not in blurred
    ]
    for slide in damaged:
        for row in rows_of.get(slide, ()):
            for file in (row['file'], row.get('mask')):
                if file:
                    (out_dir / file).unlink(missing_ok=True)
    if not rows:
        raise ConverterError(f'{slides}: no patch: {_why(inspected, damaged)}')
    fractions = _split(rows, known.table, fractions, seed)
    rows.sort(key=lambda row: (known.classes.index(row['label']), row['file']))
    write_slides_file(out_dir, inspected, damaged, groups)
    extra = ('mask',) if settings.masks else ('angle',) if settings.oriented else ()
    columns = (*COLUMNS, *extra)
    manifest = write_manifest(out_dir / MANIFEST_NAME, rows, columns)
    for one in inspected:
        if one.overview and one.slide not in damaged:
            draw_overview(one, rows_of[one.slide], blurred)
    counts = sum((one.counts for one in inspected if one.slide not in damaged), Counter())
    counts['tiles out of focus, left out'] = len(blurred)
    counts.update(known.left_out)
    counts['patches in the output'] = len(rows)
    result = ConversionResult(manifest, rows, dict(counts))
    result.lines = split_table(rows, known.classes, fractions)
    result.lines += ['', *(f'{number:6d}  {what}' for what, number in counts.items() if number)]
    result.lines += [f'note: {line}' for line in [*known.notes, *_scale_notes(inspected)]]
    if known.table.groups is None:
        result.lines.append(
            'note: every slide is its own group; slides of one patient share more than that: give '
            'a column patient in the table of --slides'
        )
    written = sum(row['file'] in waiting for row in rows)
    result.lines.append(f'{written} patches written, {len(rows) - written} were there already')
    result.passed_over = [f'{slide}: {error}' for slide, error in damaged.items()]
    return result


def _check_apart(source: Path, out_dir: Path) -> None:
    inner, outer = source.resolve(), out_dir.resolve()
    if inner == outer or inner in outer.parents:
        raise ConverterError(f'output {out_dir} lies within {source}; put them side by side')


def _record(
    files: Mapping[str, Path],
    known: Known,
    settings: PatchSettings,
    fractions: Sequence[float],
    seed: int,
    skip_faults: bool,
) -> Dict[str, object]:
    content: Dict[str, object] = {'slides': sorted(files)}
    if known.annotations is not None:
        content['annotations'] = digest_of(
            [
                [slide, a.id, a.label, a.shape.wkb_hex, a.micrometres]
                for slide, of_slide in sorted(known.annotations.items())
                for a in of_slide
            ]
        )
    told = {'labels': known.slide_labels, **known.table._asdict()}
    content['tables'] = digest_of({name: value for name, value in told.items() if value})
    parameters = {
        **settings.as_dict(), 'classes': known.classes, 'fractions': fractions, 'seed': seed,
        'skip_faults': skip_faults,
    }  # fmt: skip
    return make_record('slides', parameters, content)


def _run(function, tasks, workers, progress, title) -> List:
    """Results in order of the tasks, with a progress bar."""
    done = run_in_processes(function, tasks, workers)
    try:
        return list(with_progress(done, len(tasks), title) if progress else done)
    finally:
        close_slides()


def _refuse(
    inspected: Sequence[Inspected], former: Mapping[str, Mapping[str, str]], skip_faults: bool
) -> None:
    """Raise for what is wrong with annotations and scales, all at once, and for other slides."""
    scaleless = [f'{one.slide}: {one.no_scale}' for one in inspected if one.no_scale]
    if scaleless:
        raise ConverterError(f'{len(scaleless)} slide(s): {some_of(scaleless, 3)}')
    faults = [f'{one.slide}: {fault}' for one in inspected for fault in one.faults]
    if faults and not skip_faults:
        raise ConverterError(
            f'{len(faults)} annotation(s) cannot be used: {"; ".join(faults[:3])}'
            f'{" ..." if len(faults) > 3 else ""}. Mend them, or leave them out with --skip-faults'
        )
    changed = [
        one.slide
        for one in inspected
        if one.digest and former.get(one.slide, {}).get('digest') not in (None, '', one.digest)
    ]
    if changed:
        raise ConverterError(
            f'{len(changed)} slide(s) changed since they were converted: {some_of(changed, 3)}; '
            'choose another output folder'
        )


def _why(inspected: Sequence[Inspected], damaged: Mapping[str, str] = {}) -> str:
    if damaged:
        return some_of([f'{slide} {error}' for slide, error in damaged.items()], 3)
    counts = sum((one.counts for one in inspected), Counter())
    numbers = ', '.join(f'{number} {what}' for what, number in counts.items() if number)
    if any(one.overview for one in inspected):
        return f'no tissue is found ({numbers or "no tile fits"}); see --coverage and --focus'
    return numbers or 'no annotation on any slide'


def _rows(
    one: Inspected, groups: Mapping[str, str], settings: PatchSettings
) -> List[Dict[str, object]]:
    """Rows of the manifest without split."""
    field = one.shown
    rows = []
    for number, patch in enumerate(one.patches):
        ending = f'_x{patch.left:06d}_y{patch.top:06d}.{settings.file_format}'
        stem = fit_name(one.file_stem, ending)
        folder = 'images' if settings.masks else patch.label
        extra = {'mask': f'masks/{stem}'} if settings.masks else {}
        if one.turns is not None:
            extra = {'angle': f'{one.turns[number].angle:.2f}'}
        rows.append(
            {
                'file': f'{folder}/{stem}',
                'label': patch.label,
                'group': groups[one.slide],
                'slide': one.slide,
                'x': patch.left,
                'y': patch.top,
                'level': field.level,
                'mpp': f'{settings.mpp:g}',
                'width': settings.area[1],
                'height': settings.area[0],
                'original_width': field.read[0],
                'original_height': field.read[1],
                'factor': f'{field.factor:.4g}',
                'annotation': patch.annotation,
                **extra,
            }
        )
    return rows


def _places(
    inspected: Sequence[Inspected],
    rows_of: Mapping[str, Sequence[Mapping[str, object]]],
    waiting: set,
    out_dir: Path,
) -> Dict[str, List[Place]]:
    """Patches that are not on the disk yet, by slide."""
    return {
        one.slide: [
            Place(patch.x, patch.y, str(out_dir), row['file'], row.get('mask', ''), objects, turn)
            for patch, row, objects, turn in zip(
                one.patches,
                rows_of[one.slide],
                one.masks or repeat(()),
                one.turns or repeat(None),
                strict=False,
            )
            if row['file'] in waiting
        ]
        for one in inspected
        if not one.error
    }


def _cut(
    inspected: Sequence[Inspected],
    places: Mapping[str, Sequence[Place]],
    files: Mapping[str, Path],
    settings: PatchSettings,
    workers: int,
    progress: bool,
    damaged: Dict[str, str],
) -> set:
    """Write patches; slides that fail are added to ``damaged``. Returns files out of focus."""
    tasks: List[CutTask] = []
    for one in inspected:
        if not one.error:
            focus = settings.focus if one.overview else 0.0
            tasks += make_tasks(
                one.slide, files[one.slide], one.shown, settings.area, focus, places[one.slide]
            )
    blurred = set()
    for result in _run(cut, tasks, workers, progress, 'Patches'):
        blurred.update(result.blurred)
        if result.error:
            damaged.setdefault(result.slide, result.error)
    return blurred


def _split(
    rows: Sequence[Dict[str, object]], table: SlideTable, fractions: Sequence[float], seed: int
) -> Tuple[float, ...]:
    """Fill in ``split``; the fractions that the summary shows columns of."""
    if table.splits is None:
        labels, groups = [row['label'] for row in rows], [row['group'] for row in rows]
        sides = split_by_group(labels, groups, fractions, seed)
        for row in rows:
            row['split'] = sides[row['group']]
        return tuple(fractions)
    for row in rows:
        row['split'] = table.splits[row['slide']]
    used = {row['split'] for row in rows}
    return tuple(float(name in used) for name in SPLITS)


def _scale_notes(inspected: Sequence[Inspected]) -> List[str]:
    """What was assumed of scales, and which slides are enlarged."""
    notes = []
    for source in dict.fromkeys(one.scale.source for one in inspected if one.scale):
        if source != 'file':
            slides = [one.slide for one in inspected if one.scale and one.scale.source == source]
            what = 'the table' if source == 'table' else f'{source} (the file does not say it)'
            notes.append(f'microns per pixel of {some_of(slides, 3)} are from {what}')
    large = [one.slide for one in inspected if one.shown and one.shown.factor > 1.01]
    if large:
        notes.append(
            f'{some_of(large, 3)} are coarser than asked for: patches are enlarged, and blurred by '
            'that; ask for a larger --mpp'
        )
    return notes
