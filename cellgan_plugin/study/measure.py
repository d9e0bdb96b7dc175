"""How fast this machine trains: a few steps of every run of a study."""

import math
from pathlib import Path
from typing import Dict, List

from cellgan_plugin.benchmark.classifier_run import write_run
from cellgan_plugin.benchmark.rows import slug
from cellgan_plugin.engine.training_cost import device_name
from cellgan_plugin.errors import ProtocolError
from cellgan_plugin.files import write_json
from cellgan_plugin.jobs.job import Job
from cellgan_plugin.jobs.local import run_jobs
from cellgan_plugin.jobs.outcome import reason_of
from cellgan_plugin.records import digest_of, read_json
from cellgan_plugin.runs.training_report import training_command
from cellgan_plugin.study.budget import Speeds
from cellgan_plugin.study.run_files import RunFiles

ITERATIONS = 16  # two of them with the gradient penalty of CellGAN-plus
_CLASSIFIER = 'classifier'


def measure(files: RunFiles, out: Path, workers: int) -> Speeds:
    """Train every run for a few steps, as many at a time as the study has, and time them.

    Args:
        files (RunFiles): Configs of the study.
        out (Path): Folder; what was measured there for the same runs and machine is taken over.
        workers (int): Jobs at a time.

    Returns:
        Speeds: The slowest of the trainings side by side.

    Raises:
        ProtocolError: A run cannot be trained; the message has the end of its log.
    """
    runs = {name: files.generator(name, ITERATIONS, None) for name in files.settings.trained}
    runs[_CLASSIFIER] = files.classifier(ITERATIONS)
    key = digest_of(
        dict(runs={name: run.to_dict() for name, run in runs.items()}, workers=workers,
             device=device_name())
    )  # fmt: skip
    kept = read_json(out / 'measured.json') or {}
    if kept.get('key') == key:
        return Speeds(**kept['speeds'])
    copies = math.ceil(workers / len(runs))
    jobs: Dict[str, List[Job]] = {name: [] for name in runs}
    for name, run in runs.items():
        for copy in range(copies):
            folder = (out / key[:8] / f'{slug(name)}_{copy}').absolute()
            file, report = folder.with_suffix('.py'), folder / 'training.json'
            write_run(run, file)
            command = training_command(file, folder, report, '--overwrite')
            jobs[name].append(Job(f'a few steps of {name} ({copy + 1})', command, folder, report))
    every = [job for some in jobs.values() for job in some]
    for job in every:
        job.done_file.unlink(missing_ok=True)  # a time of another call says nothing of now
    results = run_jobs(every, workers)
    failed = next((result for result in results.values() if not result.ok), None)
    if failed is not None:
        raise ProtocolError(f'{failed.name} failed: {reason_of(failed)}; its log is below {out}')
    seconds, start = {}, 0.0
    for name, some in jobs.items():
        costs = [read_json(job.done_file)['cost'] for job in some]
        seconds[name] = max(cost['seconds'] / cost['iterations'] for cost in costs)
        walls = [results[job.name].seconds for job in some]
        start = max(start, *(w - c['seconds'] for w, c in zip(walls, costs, strict=True)))
    speeds = dict(classifier=seconds.pop(_CLASSIFIER), generators=seconds, start=start)
    write_json(out / 'measured.json', dict(key=key, device=device_name(), speeds=speeds))
    return Speeds(**speeds)
