"""The page of a study: those of its steps together, its data, and how its time went."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping

from cellgan_plugin.benchmark.rows import slug
from cellgan_plugin.reporting.write import sections_of, write_report
from cellgan_plugin.visualization.page import Picture, Section
from cellgan_plugin.visualization.report_tables import Column, ReportTable


def write_study_page(out: Path, record: Mapping[str, Any]) -> Path:
    """Write ``report.html`` of a study.

    Args:
        out (Path): Folder of the study; of steps that are not done nothing is shown.
        record (Mapping): ``study.json``.

    Returns:
        Path: The file.
    """
    names = list(record['settings']['generators'])
    folders: Dict[str, Path] = {'Benchmark': out / 'benchmark', 'Generators': out / 'generators'}
    for name in names:
        stem = slug(name)
        for known in sorted((out / 'generators').glob(f'{stem}/seed_*/evaluated/evaluation')):
            folders[name] = known
        if (out / 'evaluated' / stem).is_dir():
            folders[name] = out / 'evaluated' / stem
        folders[f'{name}, selected'] = out / 'selected' / stem
    known = {'results.json', 'comparison.json', 'evaluation.jsonl', 'selection.json'}
    there = {
        name: folder
        for name, folder in folders.items()
        if any((folder / file).is_file() for file in known)
    }
    title = f'{record["title"]}: do synthetic images help?'
    sections = study_sections(out, record)
    for name, folder in there.items():
        for section in sections_of(folder, name):
            # The verdict of a study is that of its benchmark.
            other = section.kind == 'verdict' and folder == out / 'generators'
            sections.append(replace(section, title='Generators') if other else section)
    said = record['data_said'].removeprefix(f'{record["data"]}: ')
    return write_report(out, {}, title, said, sections)


def study_sections(out: Path, record: Mapping[str, Any]) -> List[Section]:
    """What the study says beside its steps."""
    settings, plan = record['settings'], record['plan']
    counts, division = record['division']['counts'], record['division']
    classes = record['classes']
    columns = [Column('part', 'Part'), *(Column(name, name) for name in classes)]
    rows = [dict(counts[part], part=part) for part in counts if any(counts[part].values())]
    trained = plan['iterations']
    title = 'Images by class'
    if trained:
        title += (
            '; generators that are shown train on train, and are compared with '
            f'{record["held_out"]}'
        )
    split = ReportTable(title, columns, rows, division['notes'])
    facts = [
        ('Data folder', Path(record['data']).name),
        ('Images, labels, groups and parts', f'hash {record["images"]}'),
        ('Size', f'{record["size"]} x {record["size"]} px'),
        ('Hours asked for', f'{settings["hours"]:g}'),
        *([('Iterations', ', '.join(f'{k} {v}' for k, v in trained.items()))] if trained else []),
        ('Folds of the benchmark', str(plan['folds'])),
    ]
    facts += [(key, str(record[key])) for key in ('cellgan_plugin', 'git', 'torch')
              if record.get(key)]  # fmt: skip
    steps = ReportTable(
        'Minutes',
        [Column('name', 'Step'), Column('folder', 'Folder'), Column('jobs', 'Jobs'),
         Column('minutes', 'Planned', 1)],
        [dict(part) for part in plan['parts']],
        [f'{what} took {minutes:.1f} min' for what, minutes in (record.get('took') or {}).items()],
    )  # fmt: skip
    configs = out / 'configs'
    again = [
        f'python tools/compare.py {configs}/comparison.py --out {out}/generators',
        f'python tools/benchmark.py {configs}/benchmark.py --work-dir {out}/benchmark',
    ][0 if (configs / 'comparison.py').is_file() else 1 :]  # without models nothing is compared
    pictures = [
        Picture(path, f'{path.parents[1].name}, first fold: the best that were kept, then the '
                'worst by each criterion that dropped some.')
        for path in sorted((out / 'benchmark' / 'selected').glob('*_selected/fold1/best_worst.png'))
    ]  # fmt: skip
    failures = [f'{name}: {text}' for name, text in (record.get('failures') or {}).items()]
    return [
        Section('selection', 'Selection in the benchmark', pictures=pictures),
        Section('protocol', 'Images of the study', tables=[split], facts=facts),
        Section(
            'protocol', 'Steps of the study',
            text=['Each step has a config and a folder, and is repeated by its own tool:'],
            items=again, tables=[steps],
        ),
        Section('warnings', 'What was not done', items=failures),
    ]  # fmt: skip


def summary(out: Path, record: Mapping[str, Any]) -> str:
    """Where a person looks when a study is done."""
    places = [
        ('report.html', 'the answer: verdict, tables, pictures, protocol; one file'),
        ('generators/figure.png', 'real images and those of every generator, by class'),
        ('generators/table.md', 'distances of the generators'),
        ('benchmark/table.md', 'scores of classifiers with and without synthetic images'),
        ('check/report.txt', 'what was found in the images'),
        ('study.json', 'what it was made from, and how its time went'),
    ]
    places += [
        (f'selected/{slug(name)}', f'images of {name} worth training on, with a manifest')
        for name in record['settings']['generators']
    ]
    lines = ['\nThe study is done. Look at']
    for place, what in places:
        if (out / place).exists():
            lines.append(f'  {out / place}\n      {what}')
    return '\n'.join(lines)
