"""Programs that are forked: as if Python had been started for each of them."""

import json
import os
import signal
import sys
import time

import pytest

from cellgan_plugin.jobs import fork_server
from cellgan_plugin.jobs.fork_server import ForkServer, server_of
from cellgan_plugin.jobs.job import Job
from cellgan_plugin.jobs.local import run_jobs

SAYS = """
import atexit, json, os, random, signal, sys
import slow_import

def say(path):
    import numpy
    found = dict(
        name=__name__, file=__file__, argv=sys.argv, path=sys.path[0], folder=os.getcwd(),
        parent=os.getppid(), leads=os.getpid() == os.getpgrp() == os.getsid(0),
        own=os.environ.get('OWN'), variables=sorted(os.environ),
        comm=open('/proc/self/comm').read().strip(),
        signals=[signal.getsignal(signal.SIGINT) is signal.default_int_handler,
                 signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGCHLD) == 0],
        input=sys.stdin.read(), random=[random.random(), numpy.random.random()],
        imported=slow_import.process,
    )
    atexit.register(lambda: print('ended well'))
    with open(path, 'w') as file:
        json.dump(found, file)

if __name__ == '__main__':
    say(sys.argv[1])
    print('said')
    if sys.argv[2:] == ['kill']:
        os.kill(os.getpid(), 9)
    elif sys.argv[2:] == ['raise']:
        raise ValueError('bad weather')
    elif sys.argv[2:] == ['wait']:
        signal.pause()
    elif sys.argv[2:]:
        sys.exit(int(sys.argv[2]))
"""


@pytest.fixture(scope='module')
def programs(tmp_path_factory):
    """A package of small programs, on the path of the processes that are started."""
    root = tmp_path_factory.mktemp('programs')
    (root / 'small').mkdir()
    (root / 'small' / '__init__.py').write_text('import slow_import, numpy\n')
    (root / 'slow_import.py').write_text('import os\nprocess = os.getpid()\n')
    (root / 'small' / 'says.py').write_text(SAYS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', f'{root}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
        patch.setenv('OMP_NUM_THREADS', '1')  # else run_jobs sets it: another environment
        patch.setattr(fork_server, 'LATER', ())
        yield root
    for server in fork_server._servers.values():
        server.close()
    fork_server._servers.clear()


def job(root, name, *words, **kwargs):
    folder = root / name
    command = (sys.executable, '-m', 'small.says', str(folder / 'said.json'), *words)
    return Job(name, command, folder, folder / 'said.json', **kwargs)


def said(root, name):
    return json.loads((root / name / 'said.json').read_text())


@pytest.mark.skipif(sys.platform != 'linux', reason='nothing is forked elsewhere')
class TestJobs:
    def test_a_fork_is_like_a_new_process(self, programs, tmp_path):
        alone = run_jobs([job(tmp_path, 'alone')])['alone']
        results = run_jobs([job(tmp_path, name) for name in ('one', 'other')], workers=2)
        assert {alone.state, *(result.state for result in results.values())} == {'done'}
        new, one, other = (said(tmp_path, name) for name in ('alone', 'one', 'other'))
        assert new['parent'] == os.getpid() != one['parent'] == other['parent']
        assert one['comm'] == 'small.says'
        assert one['imported'] == other['imported'] == one['parent']
        for key in ('name', 'file', 'path', 'folder', 'leads', 'own', 'signals', 'input'):
            assert one[key] == new[key], key
        assert new['leads'] and all(new['signals']) and new['input'] == ''
        assert one['argv'][0] == one['file'] and one['argv'][1:] == [
            str(tmp_path / 'one' / 'said.json')
        ]
        assert set(one['variables']) == set(new['variables'])
        numbers = [value for found in (new, one, other) for value in found['random']]
        assert len(set(numbers)) == 6, 'each has random state of its own'
        for name in ('alone', 'one', 'other'):
            lines = (tmp_path / name / 'job.log').read_text().splitlines()
            assert lines[0].startswith('---') and lines[1:] == ['said', 'ended well']

    def test_how_it_ends(self, programs, tmp_path):
        words = dict(good=('0',), status=('3',), killed=('kill',), error=('raise',))
        jobs = [job(tmp_path, name, *given) for name, given in words.items()]
        missing = tmp_path / 'never'
        jobs = [Job(j.name, j.command, j.work_dir, missing) for j in jobs]
        results = run_jobs(jobs)
        assert {name: r.returncode for name, r in results.items()} == dict(
            good=0, status=3, killed=-9, error=1
        )
        assert 'SIGKILL' in results['killed'].message
        assert 'ValueError: bad weather' in results['error'].message
        assert len({said(tmp_path, name)['parent'] for name in words}) == 1

    def test_what_needs_another_environment_is_a_process_of_its_own(self, programs, tmp_path):
        server = server_of('small', dict(os.environ), begin=True)
        with open(os.devnull, 'w') as log:
            command = ['-m', 'small.says', str(tmp_path / 'first.json'), 'wait']
            first = server.start(command, os.environ, log.fileno(), log.fileno())
            own = job(tmp_path, 'other', environment=dict(OWN='mine'))
            results = run_jobs([own, job(tmp_path, 'again')])
            first.terminate()
            assert first.wait() == -signal.SIGTERM, 'its server was left alone'
        assert {r.state for r in results.values()} == {'done'}
        other, again = said(tmp_path, 'other'), said(tmp_path, 'again')
        assert (other['own'], again['own']) == ('mine', None)
        assert other['parent'] == os.getpid() != again['parent'] == again['imported']

    def test_a_job_holds_its_folder_while_it_runs_and_can_be_stopped(self, programs, tmp_path):
        jobs = [job(tmp_path, name, 'wait') for name in ('one', 'other')]
        jobs = [Job(j.name, j.command, j.work_dir, tmp_path / 'never') for j in jobs]
        server = server_of('small', dict(os.environ), begin=True)
        with pytest.MonkeyPatch.context() as patch:

            def interrupt(seconds):
                if all((tmp_path / name / 'said.json').exists() for name in ('one', 'other')):
                    patch.undo()
                    patch.setattr('cellgan_plugin.locks._TRIES', 2)
                    refused = run_jobs([jobs[0]])['one']
                    assert 'another process is still running this job' in refused.message
                    raise KeyboardInterrupt
                sleep(seconds)

            sleep = time.sleep
            patch.setattr('cellgan_plugin.jobs.local.time.sleep', interrupt)
            with pytest.raises(KeyboardInterrupt):
                run_jobs(jobs, workers=2, grace=20)
        assert not server.busy, 'SIGTERM ended both'

    def test_the_end_of_the_server_is_no_end_of_its_programs(self, programs, tmp_path):
        server = ForkServer(('small',), os.environ)
        with open(tmp_path / 'log', 'w') as log:
            command = ['-m', 'small.says', str(tmp_path / 'said.json'), 'wait']
            program = server.start(command, os.environ, log.fileno(), log.fileno())
            pid = program.pid
            server._process.kill()
            while server._process.poll() is None:
                time.sleep(0.01)
            assert program.poll() is None, 'it runs'
            assert not server.equals_new_process(os.environ)
            program.terminate()
            with pytest.raises(ProcessLookupError):
                while program.poll() is None:
                    time.sleep(0.01)
        assert program.pid == pid
        with pytest.raises(ProcessLookupError):
            program.wait()


def test_a_module_that_cannot_be_imported_is_the_programs_error(programs, tmp_path):
    (programs / 'broken').mkdir()
    (programs / 'broken' / '__init__.py').write_text('import no_such_module\n')
    jobs = [
        Job(name, (sys.executable, '-m', 'broken.job'), tmp_path / name, tmp_path / name / 'done')
        for name in ('one', 'other')
    ]
    results = run_jobs(jobs)
    for result in results.values():
        assert result.returncode == 1 and "No module named 'no_such_module'" in result.message


def test_where_there_is_a_gpu_nothing_is_forked(programs, monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    assert server_of('small', os.environ, begin=True) is None
