"""Python programs that start without importing again what each of them imports.

A server, a process of its own, has imported some modules and does nothing else. A program is a fork
of it with an environment, output, session, signals, exit status and random state of its own, as if
Python had been started anew; that takes several seconds of a processor, the fork some milliseconds.
The memory of what was imported is shared.

For Linux, and for processors alone: a process that has asked for CUDA's devices cannot be forked.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Set, Tuple

# What a training imports when it gets there, where it is installed.
LATER = ('torch._dynamo', 'torch.utils.tensorboard', 'torch.utils.cpp_extension', 'torchvision',
         'matplotlib.pyplot', 'mmpretrain')  # fmt: skip
_LARGEST = 1 << 20  # bytes of a message


class ForkedProgram:
    """A program that a :class:`ForkServer` started; its methods are those of a ``Popen``."""

    def __init__(self, server: 'ForkServer', number: int) -> None:
        self._server = server
        self._number = number

    @property
    def pid(self) -> int:
        """Its process, which leads a group of its own.

        Raises:
            ProcessLookupError: The server ended before it could start the program.
        """
        return self._answer('pid', wait=True)

    def poll(self) -> Optional[int]:
        """Its exit status, minus the number of a signal, or None while it runs.

        Raises:
            ProcessLookupError: It has ended, and so has the server, which knew how.
        """
        try:
            return self._answer('status')
        except ProcessLookupError:
            os.kill(self.pid, 0)  # does it still run?
            return None

    def wait(self) -> int:
        """Wait for its end; the exit status.

        Raises:
            ProcessLookupError: The server has ended, which would have known it.
        """
        return self._answer('status', wait=True)

    def terminate(self) -> None:
        """Send SIGTERM."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def _answer(self, what: str, wait: bool = False) -> Optional[int]:
        return self._server.answer(self._number, what, wait)


class ForkServer:
    """A process that has imported some modules, and the programs that are forked from it.

    Args:
        modules (Sequence[str]): Imported before the first program starts. One that cannot be is
            left to the program that needs it, which says so.
        environment (Mapping[str, str]): Of the server while it imports.
    """

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self.folder = os.getcwd()
        self._ended = False
        self._count = 0
        self._answers: Dict[Tuple[int, str], int] = {}
        self._running: Set[int] = set()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), *modules],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def equals_new_process(self, environment: Mapping[str, str]) -> bool:
        """Whether what was imported here is what a process started now would import."""
        there = (self.folder, self.environment)
        return self._process.poll() is None and there == (os.getcwd(), dict(environment))

    @property
    def busy(self) -> bool:
        """Whether a program runs, as far as anybody has asked."""
        return bool(self._running)

    def start(
        self,
        program: Sequence[str],
        environment: Mapping[str, str],
        output: int,
        errors: int,
        kept: Optional[int] = None,
        folder: Optional[str] = None,
    ) -> ForkedProgram:
        """Start a program; returns at once, also while the server is still importing.

        Args:
            program (Sequence[str]): What follows ``python`` on the command line: a script, or
                ``-m`` and a module, and arguments.
            environment (Mapping[str, str]): Of the program.
            output (int): File descriptor of its standard output.
            errors (int): And of its standard error.
            kept (int, optional): A file descriptor that it has open for as long as it lives.
                Defaults to None.
            folder (str, optional): Where it runs. Defaults to None: where this process does.

        Raises:
            OSError: The server has ended.
        """
        self._count += 1
        request = dict(
            number=self._count, program=list(program), environment=dict(environment),
            folder=folder or os.getcwd(),
        )  # fmt: skip
        files = [output, errors] + ([] if kept is None else [kept])
        socket.send_fds(self._socket, [json.dumps(request).encode()], files)
        self._running.add(self._count)
        return ForkedProgram(self, self._count)

    def answer(self, number: int, what: str, wait: bool) -> Optional[int]:
        """What the server has said of a program ('pid', 'status'), or None.

        Raises:
            ProcessLookupError: It has ended and will say no more.
        """
        while (number, what) not in self._answers:
            if self._ended:
                raise ProcessLookupError('the server of programs has ended')
            try:
                message = self._socket.recv(_LARGEST, 0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except ConnectionError:
                message = b''
            if message:
                said = json.loads(message)
                self._answers[said['number'], said['what']] = said['value']
                if said['what'] == 'status':
                    self._running.discard(said['number'])
            else:
                self._ended = True
        return self._answers[number, what]

    def close(self) -> None:
        """End the server; programs that run go on."""
        self._ended = True
        self._socket.close()
        self._process.wait()


_servers: Dict[str, ForkServer] = {}


def server_of(package: str, environment: Mapping[str, str], begin: bool) -> Optional[ForkServer]:
    """The server of this process for programs of a package in an environment.

    It ends with this process, or when it has nothing to do and another environment is asked for.

    Args:
        package (str): Name of the package.
        environment (Mapping[str, str]): Of the programs.
        begin (bool): Whether to start one where there is none.

    Returns:
        ForkServer | None: None where there is none or it works in another environment, and where
        forks would not be what new processes are: on systems other than Linux, and where PyTorch
        has a device beside the processors.
    """
    from mmengine.device import get_device

    if sys.platform != 'linux' or get_device() != 'cpu':
        return None
    server = _servers.get(package)
    if server is not None and server.equals_new_process(environment):
        return server
    if not begin or server is not None and server.busy:
        return None
    if server is not None:
        server.close()
    server = _servers[package] = ForkServer((package, *LATER), environment)
    atexit.register(server.close)
    return server


# In the server ------------------------------------------------------------------------------------


def _import_all(modules: Sequence[str]) -> Dict[str, str]:
    """Import, and say which environment variables were set by it."""
    before = dict(os.environ)
    for name in modules:
        with contextlib.suppress(Exception):  # the program that needs it says so
            importlib.import_module(name)
    gc.freeze()  # collections of programs leave this memory alone, and so shared
    return {name: text for name, text in os.environ.items() if before.get(name) != text}


def _serve(connection: socket.socket) -> Optional[Dict[str, Any]]:
    """Fork for every request.

    Returns:
        dict | None: In a child its request; in the server None, when nobody is there to ask.
    """
    children: Dict[int, int] = {}  # process -> number of the request

    def say(number: int, what: str, value: int) -> None:
        with contextlib.suppress(OSError):  # nobody is there: the next request says so
            connection.send(json.dumps(dict(number=number, what=what, value=value)).encode())

    awake, waker = socket.socketpair()
    for end in (awake, waker):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(waker.fileno())
    with selectors.DefaultSelector() as selector, awake, waker:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(awake, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if awake in ready:
                with contextlib.suppress(BlockingIOError):
                    awake.recv(_LARGEST)
                for pid in list(children):
                    ended, status = os.waitpid(pid, os.WNOHANG)
                    if ended:
                        say(children.pop(pid), 'status', os.waitstatus_to_exitcode(status))
            if connection in ready:
                message, files, _, _ = socket.recv_fds(connection, _LARGEST, 3)
                if not message:
                    return None
                request = json.loads(message)
                try:
                    pid = os.fork()
                except OSError as error:
                    os.write(files[1], f'error: cannot start a process: {error}\n'.encode())
                    say(request['number'], 'status', 1)
                    pid = None
                if pid == 0:
                    os.setsid()  # before anybody knows of it, and kills its group
                    say(request['number'], 'pid', os.getpid())
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    return {**request, 'files': files}
                if pid:
                    children[pid] = request['number']
                for file in files:
                    os.close(file)


def _run(request: Dict[str, Any], set_by_imports: Dict[str, str]) -> None:
    """Be the program that was asked for."""
    output, errors = request['files'][:2]
    for file, number in ((output, 1), (errors, 2)):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update({**set_by_imports, **request['environment']})
    os.chdir(request['folder'])
    if 'numpy' in sys.modules:  # Python's own generator has seen to itself
        sys.modules['numpy'].random.seed()
    program = request['program']
    name = program[1] if program[0] == '-m' else Path(program[0]).name
    with contextlib.suppress(OSError):
        Path('/proc/self/comm').write_text(name[-15:])  # for top and ps
    if program[0] == '-m':
        sys.path[0] = request['folder']
        sys.argv = program[1:]
        runpy.run_module(program[1], run_name='__main__', alter_sys=True)
    else:
        sys.path[0] = str(Path(program[0]).resolve().parent)
        sys.argv = list(program)
        runpy.run_path(program[0], run_name='__main__')


def _main(descriptor: str, *modules: str) -> None:
    sys.path[0] = os.getcwd()  # as for ``python -m``
    with socket.socket(fileno=int(descriptor)) as connection:
        set_by_imports = _import_all(modules)
        request = _serve(connection)
    if request is not None:
        _run(request, set_by_imports)  # and ends as every program does


if __name__ == '__main__':
    _main(*sys.argv[1:])
