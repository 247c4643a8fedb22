"""A Python interpreter that starts in milliseconds: its processes are forked from one that has PyTorch and the tracer loaded.

:func:`interpreter` starts that process, and returns the path of a command that stands for ``python``: it takes a file, ``-u``
or ``-m MODULE``, has the same streams, folder, environment and exit status, and passes signals on. In the forked process,
``sys.executable`` is this command, so that ``-m tapedeck run`` starts its tracer in the same way.

Unlike in Python, modules are loaded before the program begins, the variables ``PYTHON…`` have no effect, the parent process is
another one, and the modules are not destroyed at the end. Tests that depend on these differences need ``sys.executable``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

CLIENT = """#!{python} -IS
import array, json, os, resource, signal, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
passed = [0, 1, 2]
for name in os.listdir("/proc/self/fd"):
    number = int(name)
    if number > 2 and number != server.fileno():
        try:
            os.get_inheritable(number) and passed.append(number)
        except OSError:
            pass
opened = [number for number in passed if os.path.exists(f"/proc/self/fd/{{number}}")]
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), opened, signal.getsignal(signal.SIGINT) == signal.SIG_IGN])
server.sendmsg([len(request.encode()).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", opened))])
server.sendall(request.encode())
for number in opened:
    os.close(number)
answers = server.makefile()
process = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT):
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, lambda number, _: os.kill(process, number))
code = int(answers.readline())
if code < 0:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@contextlib.contextmanager
def interpreter(folder: Path) -> Iterator[str]:
    """Start the process from which the others are forked, and yield the path of the command. Both are made in ``folder``."""
    address, command = str(folder / "socket"), folder / "python"
    command.write_text(CLIENT.format(python=os.path.realpath(sys.executable), address=address))
    command.chmod(0o755)
    line = [sys.executable, __file__, address, str(command)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        try:
            yield str(command)
        finally:
            server.kill()


# ---------------------------------------------------------------- in the process that forks


def serve(address: str, executable: str) -> None:
    """Fork a process for each connection, until this process is killed."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        with selectors.DefaultSelector() as waiting:
            waiting.register(listener, selectors.EVENT_READ)
            while True:
                for key, _ in waiting.select():
                    if key.fileobj is listener:
                        _begin(listener, waiting, executable)
                    else:
                        _end(waiting, *key.data)


def _begin(listener: socket.socket, waiting: selectors.BaseSelector, executable: str) -> None:
    client, _ = listener.accept()
    size, descriptors, _, _ = socket.recv_fds(client, 4, 64)
    data = b""
    while len(data) < int.from_bytes(size, "big"):
        data += client.recv(1 << 16)
    if (process := os.fork()) == 0:
        numbers = {each.fd for each in waiting.get_map().values()} | {listener.fileno(), client.fileno(), waiting.fileno()}  # type: ignore[attr-defined]
        for number in numbers:
            os.close(number)
        _become(executable, descriptors, *json.loads(data))
    for number in descriptors:
        os.close(number)
    client.sendall(b"%d\n" % process)
    ended = os.pidfd_open(process)
    waiting.register(ended, selectors.EVENT_READ, (process, client, ended))
    waiting.register(client, selectors.EVENT_READ, (process, client, ended))


def _end(waiting: selectors.BaseSelector, process: int, client: socket.socket, ended: int) -> None:
    """Send the exit status of a process that ended, or kill a process whose client is gone."""
    if ended not in waiting.get_map():
        return
    if not os.waitid(os.P_PIDFD, ended, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    with contextlib.suppress(OSError):
        client.sendall(b"%d\n" % code)
    waiting.unregister(ended)
    waiting.unregister(client)
    client.close()
    os.close(ended)


def _become(
    executable: str, received: list[int], arguments: list[str], folder: str, environment: dict[str, str], numbers: list[int],
    deaf: bool,
) -> NoReturn:  # fmt: skip
    """Run a Python command line in this forked process, with the descriptors of the client."""
    import atexit
    import random
    import threading

    import numpy
    import torch

    high = [os.dup2(number, 200 + i) for i, number in enumerate(received)]
    os.closerange(0, 200)
    for number, wanted in zip(high, numbers, strict=True):
        os.dup2(number, wanted, inheritable=True)
        os.close(number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.executable = executable
    signal.signal(signal.SIGINT, signal.SIG_IGN if deaf else signal.default_int_handler)
    random.seed()
    numpy.random.seed()
    torch.seed()
    unbuffered = arguments[0] == "-u"
    _make_streams(unbuffered)
    status = 0
    try:
        _run(arguments[unbuffered:])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if error.code is not None and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
    except BaseException as error:
        trace = error.__traceback__.tb_next.tb_next if error.__traceback__ and error.__traceback__.tb_next else None
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        status = 1
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            status = -signal.SIGINT
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    if status < 0:
        os.kill(os.getpid(), -status)
    os._exit(status & 0xFF)


def _run(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        sys.path[0] = os.getcwd()
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return
    path = os.path.abspath(arguments[0])
    sys.path[0], sys.argv = os.path.dirname(os.path.realpath(path)), arguments
    module = types.ModuleType("__main__")
    module.__file__ = path
    sys.modules["__main__"] = module
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    exec(code, module.__dict__)


def _make_streams(unbuffered: bool) -> None:
    import logging

    replaced = {id(sys.stderr), id(sys.__stderr__)}
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream: Any = None
        with contextlib.suppress(OSError):
            raw: Any = io.FileIO(number, "rb" if number == 0 else "wb", closefd=False)
            raw.name = f"<{name}>"
            buffer = io.BufferedReader(raw) if number == 0 else raw if unbuffered else io.BufferedWriter(raw)
            by_line = number == 2 or raw.isatty()
            errors = "backslashreplace" if number == 2 else "strict"
            stream = io.TextIOWrapper(buffer, "utf-8", errors, None if number == 0 else "\n", by_line, unbuffered)
            stream.mode = "r" if number == 0 else "w"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        for handler in getattr(logger, "handlers", []):
            if isinstance(handler, logging.StreamHandler) and id(handler.stream) in replaced:
                handler.stream = sys.stderr


def main() -> None:
    """Load the modules, and serve."""
    import gc

    import tapedeck.cli.commands
    import tapedeck.cli.record
    import tapedeck.cli.report
    import tapedeck.tracer.main  # noqa: F401 (imports torch)
    import torch.utils.data  # noqa: F401

    gc.collect()
    gc.freeze()
    serve(*sys.argv[1:])


if __name__ == "__main__":
    main()
