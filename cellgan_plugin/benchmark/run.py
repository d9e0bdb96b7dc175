"""Does it help a classifier: what ``tools/benchmark.py`` does, for a notebook."""

from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Union

from cellgan_plugin.benchmark.experiment import Benchmark
from cellgan_plugin.benchmark.protocol import Protocol
from cellgan_plugin.benchmark.shares import SharedBenchmark
from cellgan_plugin.jobs.outcome import JobResult
from cellgan_plugin.locks import writes_folder


@writes_folder('out_dir')
def benchmark(
    protocol: Protocol,
    out_dir: Union[str, Path],
    workers: Optional[int] = None,
    devices: Optional[Sequence[Union[int, str]]] = None,
    launcher: str = 'local',
    slurm_options: Optional[Mapping[str, object]] = None,
) -> Dict[str, JobResult]:
    """Run a benchmark and write its tables and pictures.

    Args:
        protocol (Protocol): See :func:`~cellgan_plugin.benchmark.protocol.read_protocol`.
        out_dir (str | Path): Work directory; the same call continues what was interrupted.
        workers (int, optional): See :func:`~cellgan_plugin.jobs.local.run_jobs`, as the others.
        devices (Sequence, optional): Defaults to None.
        launcher (str): 'local' or 'slurm'. Defaults to 'local'.
        slurm_options (Mapping, optional): Defaults to None.

    Returns:
        dict[str, JobResult]: What became of every job; the tables show what failed.

    Raises:
        See :class:`Benchmark`. KeyboardInterrupt: the jobs have saved, the same call goes on.
    """
    return open_benchmark(protocol, out_dir).conduct(workers, devices, launcher, slurm_options)


def open_benchmark(
    protocol: Protocol, out_dir: Union[str, Path]
) -> Union[Benchmark, SharedBenchmark]:
    """A :class:`Benchmark`, or one for every share of the training images."""
    return (SharedBenchmark if protocol.shares else Benchmark)(protocol, out_dir)
