"""A benchmark for every share of the training images, as one: HistoGAN's Table 2."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from cellgan_plugin.benchmark.experiment import Benchmark
from cellgan_plugin.benchmark.page import benchmark_sections
from cellgan_plugin.benchmark.protocol import Protocol
from cellgan_plugin.benchmark.report import TABLE
from cellgan_plugin.benchmark.shares_figure import draw_shares
from cellgan_plugin.benchmark.synthetic import HashCache
from cellgan_plugin.benchmark.tables import main_table
from cellgan_plugin.jobs.job import Job
from cellgan_plugin.jobs.outcome import JobResult
from cellgan_plugin.runs.experiment import Experiment
from cellgan_plugin.visualization.page import PAGE_NAME, Section, picture_section, write_page
from cellgan_plugin.visualization.report_tables import Column, ReportTable, write_report_table


def of_share(protocol: Protocol, share: float) -> Protocol:
    """The benchmark of one share: its rows, and the generators that they need."""
    rows = tuple(
        replace(row, shares=None)
        for row in protocol.rows
        if row.shares is None or share in row.shares
    )
    used = {row.generator for row in (*rows, *(protocol.sweep.rows() if protocol.sweep else ()))}
    generators = protocol.generators
    if protocol.all_rows:
        generators = tuple(g for g in generators if g.name in used)
    of = 'training images' if protocol.share_of == 'train' else 'all images'
    return replace(
        protocol,
        shares=(share,),
        rows=rows,
        generators=generators,
        title=f'{protocol.title}, {100 * share:g} % of {of}',
    )


class SharedBenchmark(Experiment):
    """Benchmarks that differ in how many training images there are; used as one.

    Each is a :class:`~cellgan_plugin.benchmark.experiment.Benchmark` in a folder of its own below
    ``out_dir``. All jobs run together, and one table shows all.

    Args:
        protocol (Protocol): With ``shares``.
        out_dir (str | Path): Work directory.

    Attributes:
        benchmarks (dict[float, Benchmark]): By share.

    Raises:
        See :class:`~cellgan_plugin.benchmark.experiment.Benchmark`.
    """

    def __init__(self, protocol: Protocol, out_dir: Union[str, Path]):
        self.protocol = protocol
        self.out_dir = Path(out_dir)
        cache = HashCache(self.out_dir)
        self.benchmarks: Dict[float, Benchmark] = {
            share: Benchmark(of_share(protocol, share), self.out_dir / _folder(share), cache)
            for share in protocol.shares
        }

    def describe(self) -> str:
        """See :meth:`Experiment.describe`."""
        return '\n\n'.join(
            f'{found.protocol.title}\n{found.describe()}' for found in self.benchmarks.values()
        )

    def jobs(self) -> List[Job]:
        """The jobs of all shares, named by their folders."""
        jobs = []
        for share, found in self.benchmarks.items():
            head = _folder(share)
            jobs += [
                replace(
                    job,
                    name=f'{head}/{job.name}',
                    needs=tuple(f'{head}/{name}' for name in job.needs),
                )
                for job in found.jobs()
            ]
        return jobs

    def write(self, jobs: Optional[Mapping[str, JobResult]] = None) -> List[Path]:
        """See :meth:`Experiment.write`."""
        files: List[Path] = []
        tables: Dict[float, ReportTable] = {}
        points: Dict[str, Dict[str, List[Tuple[float, List[float]]]]] = {}
        for share, found in self.benchmarks.items():
            head = f'{_folder(share)}/'
            own = {
                name[len(head) :]: result
                for name, result in (jobs or {}).items()
                if name.startswith(head)
            }
            results = found.results(own)
            files += found.write_results(results)
            tables[share] = main_table(results)
            real = results.plan.class_counts('train').sum(axis=1).mean()
            for row in results.rows if 'accuracy' in results.metrics else ():
                values = [v for v in row.values['accuracy'] if v is not None]
                by_row = points.setdefault(row.classifier, {})
                by_row.setdefault(results.shown[row.arm], []).append((float(real), values))
        rows: List[Dict[str, Any]] = []
        notes: List[str] = []
        for share, table in tables.items():
            said = f'{100 * share:g} %'
            for row in table.rows:
                rows.append(dict(row, share=said, group=f'{said} {row["classifier"]}'))
            for note in table.notes:
                everywhere = all(note in other.notes for other in tables.values())
                notes.append(note if everywhere else f'{said}: {note}')
        of = 'training' if self.protocol.share_of == 'train' else 'all'
        columns = next(iter(tables.values())).columns
        table = ReportTable(
            self.protocol.title,
            [Column('share', f'Of {of} images'), *columns],
            rows,
            list(dict.fromkeys(notes)),
        )
        if points:
            files.append(draw_shares(self.out_dir / 'shares.png', points, self.protocol.title))
        files = write_report_table(self.out_dir, TABLE, table) + files
        shown = [Section('table', 'Scores by share', tables=[table])]
        said = 'Accuracy by number of real images.'
        file = self.out_dir / 'shares.png'
        shown.append(picture_section('curves', 'More real images', file, said))
        for share, found in self.benchmarks.items():
            said = f'{100 * share:g} %'
            shown += [
                replace(section, title=f'{said}: {section.title}')
                for section in benchmark_sections(found.out_dir)
                if section.kind in ('verdict', 'images', 'confusion', 'protocol')
            ]
        return [*files, write_page(self.out_dir / PAGE_NAME, self.protocol.title, shown)]

    def table(self) -> str:
        """See :meth:`Experiment.table`."""
        return (self.out_dir / f'{TABLE}.md').read_text(encoding='utf-8')


def _folder(share: float) -> str:
    return f'share_{100 * share:g}'
