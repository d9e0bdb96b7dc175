"""The job runner: order, isolation of failures, resuming, stopping, devices, submitit."""

import fcntl
import json
import logging
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from cellgan_plugin.jobs.job import Job
from cellgan_plugin.jobs.local import run_jobs
from cellgan_plugin.jobs.outcome import log_tail


def shell(root, name, script='true', needs=(), environment=None, done=True):
    """A job that runs a shell script in its folder, and then says that it is done."""
    folder = Path(root) / name
    done_file = folder / 'done'
    text = f'cd {folder} && {script}' + (f' && touch {done_file}' if done else '')
    return Job(name, ('sh', '-c', text), folder, done_file, environment or {}, tuple(needs))


def test_needs_come_first_and_results_keep_the_order(tmp_path):
    log = tmp_path / 'order'
    jobs = [
        shell(tmp_path, 'last', f'echo last >> {log}', needs=('middle', 'first')),
        shell(tmp_path, 'middle', f'echo middle >> {log}', needs=('first',)),
        shell(tmp_path, 'first', f'echo first >> {log}'),
    ]
    results = run_jobs(jobs, workers=3)
    assert log.read_text().split() == ['first', 'middle', 'last']
    assert list(results) == ['last', 'middle', 'first']
    assert {r.state for r in results.values()} == {'done'}
    assert all(r.returncode == 0 and r.message == '' for r in results.values())


def test_a_system_without_process_groups_is_told(tmp_path, monkeypatch):
    monkeypatch.delattr(os, 'killpg')  # as on Windows
    with pytest.raises(ValueError, match='Linux and macOS only.* WSL'):
        run_jobs([shell(tmp_path, 'one')])
    assert not (tmp_path / 'one').exists()


def test_a_failure_stops_only_what_needs_it(tmp_path, capsys):
    jobs = [
        shell(tmp_path, 'bad', 'echo something; echo "error: no such colour" >&2; exit 3'),
        shell(tmp_path, 'child', needs=('bad',)),
        shell(tmp_path, 'grandchild', needs=('child',)),
        shell(tmp_path, 'other'),
    ]
    results = run_jobs(jobs, workers=2)
    assert [r.state for r in results.values()] == ['failed', 'skipped', 'skipped', 'done']
    assert results['bad'].returncode == 3
    assert 'error: no such colour' in results['bad'].message
    assert 'status 3' in results['bad'].message and 'job.log' in results['bad'].message
    assert 'bad' in results['child'].message
    assert 'child' in results['grandchild'].message
    assert 'error: no such colour' in capsys.readouterr().out
    assert not (tmp_path / 'child' / 'job.log').exists()


def test_the_second_call_does_only_what_is_missing(tmp_path):
    count = 'echo run >> runs'
    jobs = [
        shell(tmp_path, 'good', count),
        shell(tmp_path, 'bad', f'{count}; test -e ../mended'),
        shell(tmp_path, 'child', count, needs=('bad',)),
    ]
    assert [r.state for r in run_jobs(jobs).values()] == ['done', 'failed', 'skipped']
    (tmp_path / 'mended').touch()
    assert [r.state for r in run_jobs(jobs).values()] == ['already done', 'done', 'done']
    assert [r.state for r in run_jobs(jobs).values()] == ['already done'] * 3
    assert (tmp_path / 'good' / 'runs').read_text().split() == ['run']
    log = (tmp_path / 'bad' / 'job.log').read_text()
    assert log.count('---') == 2, 'the log keeps both attempts'


def test_success_without_the_done_file_is_no_success(tmp_path):
    result = run_jobs([shell(tmp_path, 'quick', 'echo nothing', done=False)])['quick']
    assert result.state == 'failed' and result.returncode == 0
    assert 'done is missing' in result.message


def test_killed_and_unstartable_jobs_say_so(tmp_path):
    jobs = [
        shell(tmp_path, 'killed', 'kill -9 $$'),
        Job('none', ('/no/such/program',), tmp_path / 'none', tmp_path / 'none' / 'done'),
    ]
    results = run_jobs(jobs)
    assert 'SIGKILL' in results['killed'].message and 'memory' in results['killed'].message
    assert results['none'].state == 'failed'
    assert '/no/such/program' in results['none'].message


def test_only_as_many_as_there_are_workers_run_at_once(tmp_path):
    script = 'touch ../on.$$; sleep 0.3; ls .. | grep -c "^on" > running; rm ../on.$$'
    jobs = [shell(tmp_path, f'job{i}', script) for i in range(4)]
    run_jobs(jobs, workers=2)
    counts = [int((tmp_path / f'job{i}' / 'running').read_text()) for i in range(4)]
    assert max(counts) == 2


def test_devices_and_threads_are_handed_out(tmp_path, monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    show = 'echo "$CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS $OWN" > seen; sleep 0.4'
    jobs = [shell(tmp_path, f'job{i}', show, environment=dict(OWN=f'o{i}')) for i in range(4)]
    cores = len(os.sched_getaffinity(0))
    run_jobs(jobs, workers=4, devices=[0, 'MIG-7'])
    seen = [(tmp_path / f'job{i}' / 'seen').read_text().split() for i in range(4)]
    assert [s[0] for s in seen] == ['0', 'MIG-7', '0', 'MIG-7']
    assert {s[1] for s in seen} == {str(max(1, cores // 4))}
    assert [s[2] for s in seen] == ['o0', 'o1', 'o2', 'o3']

    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '5')
    jobs = [
        shell(tmp_path, 'outer', show),
        shell(tmp_path, 'own', show, environment=dict(OMP_NUM_THREADS='3')),
    ]
    run_jobs(jobs)
    assert (tmp_path / 'outer' / 'seen').read_text().split() == ['5', '7']
    assert (tmp_path / 'own' / 'seen').read_text().split() == ['5', '3']


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_interrupted_jobs_save_and_the_call_continues(tmp_path, number):
    # As PreemptionHook: SIGTERM saves, the next start goes on and finishes.
    script = 'trap "echo saved > saved; exit 0" TERM; touch up; test -e saved || sleep 60 & wait $!'
    stubborn = 'trap "" TERM; touch up; test -e ../mended || sleep 60'
    jobs = [
        shell(tmp_path, 'saves', script),
        shell(tmp_path, 'ignores', stubborn),
        shell(tmp_path, 'waits'),
    ]

    def interrupt():
        while not all((tmp_path / name / 'up').exists() for name in ('saves', 'ignores')):
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=interrupt)
    thread.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, workers=2, grace=1.0)
    thread.join()
    assert time.monotonic() - started < 10
    assert signal.getsignal(signal.SIGTERM) is before
    assert (tmp_path / 'saves' / 'saved').exists()
    assert not (tmp_path / 'waits').exists()
    assert not any((job.done_file).exists() for job in jobs)
    (tmp_path / 'mended').touch()
    assert {r.state for r in run_jobs(jobs, workers=2).values()} == {'done'}


def test_a_job_that_still_runs_is_not_started_twice(tmp_path, monkeypatch):
    monkeypatch.setattr('cellgan_plugin.locks._TRIES', 2)
    job = shell(tmp_path, 'slow', 'touch up; sleep 30')
    (tmp_path / 'slow').mkdir()
    # What a call that was killed leaves behind: a child that holds the lock.
    with open(tmp_path / 'slow' / '.job.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run_jobs([job])['slow']
    assert result.state == 'failed' and 'still running' in result.message
    assert not (tmp_path / 'slow' / 'up').exists()


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda root: [shell(root, 'a'), shell(root, 'a')], 'two jobs are named'),
        (lambda root: [shell(root, 'a', needs=('b',))], "needs 'b'"),
        (lambda root: [shell(root, 'a', needs=('b',)), shell(root, 'b', needs=('a',))], 'circle'),
        (
            lambda root: [Job('a', ('true',), root, root / 'x'), Job('b', ('true',), root, root)],
            'one work_dir',
        ),
        (lambda root: [Job('a', (), root, root / 'x')], 'no command'),
    ],
)
def test_jobs_that_cannot_be_run_are_refused(tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        run_jobs(change(tmp_path))


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match='workers'):
        run_jobs([shell(tmp_path, 'a')], workers=0)
    with pytest.raises(ValueError, match='launcher'):
        run_jobs([shell(tmp_path, 'a')], launcher='pbs')


def test_log_tail_is_short_and_printable(tmp_path):
    log = tmp_path / 'log'
    log.write_bytes(
        b'old\n' * 5 + b'\r 1/9\r 9/9\n\n\x1b[31mred\x1b[0m\n' + b'x' * 1000 + b'\n\xff\x07\n'
    )
    lines = log_tail(log).split('\n')
    assert lines[:2] == ['old', 'old'] and lines[2] == ' 9/9' and lines[3] == 'red'
    assert len(lines[4]) == 400 and lines[5] == '\ufffd'
    assert log_tail(log, log.stat().st_size) == '' == log_tail(tmp_path / 'none')


# submitit ---------------------------------------------------------------------------------------


def test_without_submitit_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'submitit', None)
    with pytest.raises(ImportError, match='pip install submitit'):
        run_jobs([shell(tmp_path, 'a')], launcher='slurm')


def test_submitit_leaves_the_log_files_of_this_process_open(tmp_path, monkeypatch):
    """Its configuration of logging would close them, and what is opened to write stays shut."""
    for name in [name for name in sys.modules if name.partition('.')[0] == 'submitit']:
        monkeypatch.delitem(sys.modules, name)
    handler = logging.FileHandler(tmp_path / 'run.log', 'w')
    try:
        with pytest.raises(ValueError, match='cannot use cluster'):
            run_jobs([shell(tmp_path, 'a')], launcher='slurm', slurm_options=dict(cluster='none'))
        handler.emit(logging.makeLogRecord(dict(msg='still written')))
    finally:
        handler.close()
    assert 'submitit' in sys.modules
    assert (tmp_path / 'run.log').read_text() == 'still written\n'


def test_options_that_submitit_does_not_know_are_refused(tmp_path):
    options = dict(cluster='local', gpus=3)
    with pytest.raises(ValueError, match='gpus'):
        run_jobs([shell(tmp_path, 'a')], launcher='slurm', slurm_options=options)
    assert not (tmp_path / 'a').exists()


def test_submitit_without_slurm(tmp_path):
    jobs = [
        shell(tmp_path, 'fold/0', 'echo "$OWN" > seen', environment=dict(OWN='mine')),
        shell(tmp_path, 'bad', 'echo "error: bad weather"; exit 4'),
        shell(tmp_path, 'child', needs=('bad',)),
        shell(tmp_path, 'after', needs=('fold/0',)),
    ]
    options = dict(cluster='local', timeout_min=1)
    results = run_jobs(jobs, launcher='slurm', slurm_options=options)
    assert [r.state for r in results.values()] == ['done', 'failed', 'skipped', 'done']
    assert (tmp_path / 'fold/0' / 'seen').read_text() == 'mine\n'
    assert results['bad'].returncode == 4 and 'error: bad weather' in results['bad'].message


SBATCH = """#!{python}
import os, subprocess, sys
job = str(os.getpid())
root = os.path.dirname(os.path.abspath(__file__))
# As the real one does before it answers: the job is known, and its script is kept. Submitit moves
# the script as soon as it has the answer.
text = open(sys.argv[-1]).read()
for name, content in ((job, 'R'), (job + '.sh', text)):
    with open(root + '/' + name, 'w') as file:
        file.write(content)
environment = dict(os.environ, SLURM_JOB_ID=job, SLURM_JOB_NODELIST='node', SLURM_NODEID='0',
                   SLURM_PROCID='0', SLURM_LOCALID='0', SLURM_NTASKS='1', SLURM_JOB_NUM_NODES='1')
subprocess.Popen(['bash', '-c', f'bash {{root}}/{{job}}.sh; echo C > {{root}}/{{job}}'],
                 env=environment, start_new_session=True,
                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
with open(root + '/submissions', 'a') as file:
    file.write(job + ' ' + text.replace('\\n', ' ') + '\\n')
print('Submitted batch job', job)
"""
SRUN = """#!{python}
import os, sys
rest, own = sys.argv[1:], []
while rest[0].startswith('-'):
    option = rest.pop(0)
    if option in ('--output', '--error'):
        rest.pop(0)
os.execvp(rest[0], rest)
"""
SACCT = """#!{python}
import os, sys
root = os.path.dirname(os.path.abspath(__file__))
print('JobID|State|NodeList')
for job in [a for a in sys.argv[1:] if a.isdigit()]:
    running = open(root + '/' + job).read().strip() == 'R'
    print(job + ('|RUNNING|node' if running else '|COMPLETED|node'))
"""


@pytest.fixture
def scheduler(tmp_path, monkeypatch):
    """Programs that answer as Slurm's do, and run what is submitted at once."""
    folder = tmp_path / 'slurm'
    folder.mkdir()
    for name, text in (('sbatch', SBATCH), ('srun', SRUN), ('sacct', SACCT)):
        path = folder / name
        path.write_text(text.format(python=sys.executable))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    return folder


def test_slurm_submits_with_the_options_and_finds_what_is_queued_already(tmp_path, scheduler):
    slow = shell(tmp_path, 'slow', 'echo run >> runs; while test ! -e ../go; do sleep 0.05; done')
    options = dict(slurm_partition='gpu', gpus_per_node=1, timeout_min=5)

    def interrupt():
        submitted = [tmp_path / 'slow' / name for name in ('runs', 'submitted.json')]
        while not all(path.exists() for path in submitted):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    # The process that submits is lost while the job runs on: scancel is not there to be called.
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises((KeyboardInterrupt, OSError)):
        run_jobs([slow], launcher='slurm', slurm_options=options, grace=0.2)
    thread.join()
    record = json.loads((tmp_path / 'slow' / 'submitted.json').read_text())
    (submission,) = (scheduler / 'submissions').read_text().splitlines()
    assert submission.startswith(record['id'])
    assert '--partition=gpu' in submission and '--gpus-per-node=1' in submission

    jobs = [slow, shell(tmp_path, 'next', needs=('slow',))]
    thread = threading.Timer(0.5, (tmp_path / 'go').touch)
    thread.start()
    results = run_jobs(jobs, launcher='slurm', slurm_options=options)
    thread.join()
    assert [r.state for r in results.values()] == ['done', 'done']
    assert (tmp_path / 'slow' / 'runs').read_text().split() == ['run']
    assert len((scheduler / 'submissions').read_text().splitlines()) == 2


def test_a_job_that_the_scheduler_takes_back_saves_and_can_be_queued_again(tmp_path):
    from cellgan_plugin.jobs.slurm import Command

    log = tmp_path / 'job' / 'job.log'
    script = 'trap "echo saved; exit 0" TERM; echo up; sleep 60 & wait $!'
    command = Command(('sh', '-c', script), str(log), {})
    thread = threading.Thread(target=command)
    thread.start()
    # The command may be up before Popen has returned.
    while command.process is None or 'up' not in log.read_text():
        time.sleep(0.05)
    again = command.checkpoint()
    thread.join()
    assert 'saved' in log.read_text()
    assert (again.function.command, again.function.log) == (command.command, command.log)
    assert again.function is not command
