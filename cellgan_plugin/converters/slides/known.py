"""What annotations and tables say of slides, and which classes there are."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from cellgan_plugin.converters.common import ConverterError, PathLike, some_of
from cellgan_plugin.converters.folder_rules import ClassFinder, check_groups_apart, class_finder
from cellgan_plugin.converters.slides.annotation import Annotation
from cellgan_plugin.converters.slides.annotation_files import read_annotations
from cellgan_plugin.converters.slides.inspect import UNLABELLED
from cellgan_plugin.converters.slides.slide_table import SlideTable, read_slide_table


class Known(NamedTuple):
    """What tables and annotations say before a slide is opened.

    Attributes:
        annotations (dict[str, list[Annotation]] | None): By slide, with the names of classes as
            labels; None: tissue is found.
        classes (tuple[str, ...]): In order.
        slide_labels (Mapping[str, str]): Class by slide, for tissue.
        table (SlideTable): Patients, splits and scales.
        left_out (dict[str, int]): What was passed over, with its number.
        notes (list[str]): For the summary.
    """

    annotations: Optional[Dict[str, List[Annotation]]]
    classes: Tuple[str, ...]
    slide_labels: Mapping[str, str]
    table: SlideTable
    left_out: Dict[str, int]
    notes: List[str]


def read_tables(
    files: Mapping[str, Path],
    annotations: Optional[PathLike],
    unit: str,
    class_map: Optional[Mapping[str, Sequence[str]]],
    classes: Optional[Sequence[str]],
    slide_table: Optional[PathLike],
    slide_labels: Optional[PathLike],
    skip_unmatched: bool,
) -> Known:
    """Read annotations and tables; see :func:`convert_slides` for the arguments.

    Raises:
        ConverterError: On a file that cannot be read, or classes that do not fit.
    """
    notes: List[str] = []
    table = SlideTable() if slide_table is None else read_slide_table(slide_table, files, notes)
    if table.groups and table.splits:
        check_groups_apart(table.groups, table.splits, 'patients')
    labels = table.labels
    if slide_labels is not None:
        labels = read_slide_table(slide_labels, files, notes, need_label=True).labels
    left_out: Counter = Counter()
    if annotations is not None:
        found, passed, more = read_annotations(annotations, files, unit)
        left_out.update(passed)
        notes += more
        rules = _rules(class_map, classes, [a.label for of in found.values() for a in of])
        found = {
            slide: _of_classes(of_slide, rules, skip_unmatched, left_out)
            for slide, of_slide in found.items()
        }
        bare = [name for name in files if name not in found]
        if bare:
            notes.append(f'{len(bare)} slides have no annotations: {some_of(bare, 3)}')
        notes += rules.check()
        return Known(found, rules.classes, {}, table, left_out, notes)
    if labels is None:
        if class_map or classes:
            raise ConverterError(
                'classes are given, but neither annotations nor labels of slides; give '
                '--annotations or --slide-labels'
            )
        return Known(None, (UNLABELLED,), {}, table, left_out, notes)
    rules = _rules(class_map, classes, list(labels.values()))
    unknown = [f'{slide} ({label})' for slide, label in labels.items() if not rules.of_name(label)]
    if unknown:
        raise ConverterError(
            f'{len(unknown)} slide(s) have a label of no class: {some_of(unknown, 3)}; expected '
            f'{", ".join(rules.classes)}, or --map CLASS=label'
        )
    labels = {slide: rules.of_name(label) for slide, label in labels.items()}
    return Known(None, rules.classes, labels, table, left_out, [*notes, *rules.check()])


def _rules(
    class_map: Optional[Mapping[str, Sequence[str]]],
    classes: Optional[Sequence[str]],
    labels: Sequence[str],
) -> ClassFinder:
    """Classes by spelling: those asked for, else all that are there."""
    if not class_map and classes is None:
        classes = sorted(filter(None, set(labels)))
        if not classes:
            raise ConverterError(
                'no annotation has a class: set it where they were drawn (QuPath: classification)'
            )
        try:
            return class_finder(None, classes)
        except ConverterError as error:
            raise ConverterError(
                f'{error}; or name the classes here with --map CLASS="NAME THERE" for each, and '
                'leave out what else is annotated with --skip-unmatched'
            ) from error
    return class_finder(class_map, classes)


def _of_classes(
    annotations: Sequence[Annotation], rules: ClassFinder, skip: bool, left_out: Counter
) -> List[Annotation]:
    """Annotations with the names of classes as labels."""
    found, unknown = [], []
    for annotation in annotations:
        label = rules.of_name(annotation.label) if annotation.label else None
        if label is None:
            unknown.append(f'{annotation.where}: {annotation.label or "without class"}')
        else:
            found.append(replace(annotation, label=label))
    if unknown and not skip:
        raise ConverterError(
            f'{len(unknown)} annotation(s) are of no known class: {some_of(unknown, 3)}; expected '
            f'{", ".join(rules.classes)}: name them with --map CLASS=name, or leave them out with '
            '--skip-unmatched'
        )
    left_out['annotations of no class, left out'] += len(unknown)
    return found
