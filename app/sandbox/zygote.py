"""Run the zygote: load PyTorch once, and fork a confined child whenever the server requests one.

Run as ``python -P -s -B -m tapedeck.sandbox.zygote <control descriptor> <config>``, by :mod:`.launch`. The zygote has no
secrets and a single thread. It never reads a program, because every later child could read its memory. It exits when
the server closes the control socket, and its children exit with it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import select
import socket
import sys
import tempfile
from typing import cast

import msgspec

from . import child, kernel, landlock, readset, seccomp
from .confine import Confinement, best_mode, drop_privileges
from .control import (
    PACKET,
    Exited,
    Failed,
    Mode,
    Ping,
    Pong,
    Ready,
    Spawn,
    Spawned,
    ZygoteConfig,
    decode_server_message,
    encode,
)


class _Children:
    """The children that have not been reaped."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.resident = kernel.resident()
        """Resident memory of the zygote, in bytes, which each child starts with."""
        self.living: dict[int, tuple[int, int]] = {}
        """The token and process id of each child, by its pidfd."""
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)

    def add(self, token: int, pid: int) -> None:
        """Register a child that was just forked, and report it to the server."""
        pidfd = os.pidfd_open(pid)
        self.living[pidfd] = (token, pid)
        self.poll.register(pidfd, select.POLLIN)
        socket.send_fds(self.control, [encode(Spawned(token, pid))], [pidfd])

    def reap(self, pidfd: int) -> None:
        """Reap a child that has exited, and report its status to the server."""
        token, pid = self.living.pop(pidfd)
        self.poll.unregister(pidfd)
        os.close(pidfd)
        _, status, usage = os.wait4(pid, 0)
        self.control.send(encode(Exited(token, status, max(0, usage.ru_maxrss * 1024 - self.resident))))


def main() -> None:
    """Prepare, report the result to the server, and serve requests until the control socket is closed."""
    config = msgspec.json.decode(sys.argv[2], type=ZygoteConfig)
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    try:
        confinement, entry, notes = _prepare(config)
        ready = Ready(confinement.mode, notes, entry.optimizers())
    except BaseException as error:
        control.send(encode(Failed(f"{type(error).__name__}: {error}"[:2000])))
        raise
    control.send(encode(ready))
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        _serve(control, confinement, entry)


def _prepare(config: ZygoteConfig) -> tuple[Confinement, child.EntryModule, list[str]]:
    """Drop privileges, import what programs need, and build the Landlock ruleset and the seccomp filter."""
    mode: Mode = config.mode or best_mode()
    kernel.set_oom_score(500)  # when memory runs out, the kernel kills the zygote before the server
    sys.path[:0] = config.path
    if mode == "none":
        notes = ["Programs run with your own permissions, packages and current folder."]
    else:
        notes = [drop_privileges(config.drop_uid, _needed_files(config.entry))]
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    for name in readset.PRELOADED:
        importlib.import_module(name)
    entry = cast("child.EntryModule", importlib.import_module(config.entry))
    entry.preload()
    if mode == "nofiles":
        for name in readset.PRELOADED_WITHOUT_FILES:
            importlib.import_module(name)
    if mode != "none":
        tempfile.tempdir = "/nonexistent"  # libraries may read the name of the folder, but cannot write to it
    rules = landlock.build_ruleset(readset.readable_paths()) if mode == "full" else None
    filter_ = b"" if mode == "none" else seccomp.build_filter(os.uname().machine, files=mode == "full")
    if kernel.threads() != 1:
        raise RuntimeError(f"the zygote has {kernel.threads()} threads")
    if shared := kernel.shared_mappings():
        raise RuntimeError(f"children would share memory: {shared[0]}")
    gc.collect()
    gc.freeze()
    size = kernel.address_space() + config.memory_bytes
    return Confinement(mode, rules, filter_, size, config), entry, notes


def _needed_files(entry: str) -> list[str]:
    """Return one file of each folder that must stay readable: the interpreter, its library, Tapedeck, ``entry`` and PyTorch."""
    specs = (importlib.util.find_spec(name) for name in (entry.partition(".")[0], "torch"))
    return [sys.executable, os.__file__, __file__, *(spec.origin for spec in specs if spec and spec.origin)]


def _serve(control: socket.socket, confinement: Confinement, entry: child.EntryModule) -> None:
    """Fork children on request and reap those that exit, until the control socket is closed."""
    children = _Children(control)
    own = os.getpid()
    while True:
        for ready, _ in children.poll.poll():
            if ready in children.living:
                children.reap(ready)
                continue
            packet, pipes, _, _ = socket.recv_fds(control, PACKET, 2)
            if not packet:
                return
            match decode_server_message(packet):
                case Spawn() as request:
                    _fork(request, pipes, children, confinement, entry, own)
                case Ping():
                    control.send(encode(Pong()))


def _fork(
    request: Spawn, pipes: list[int], children: _Children, confinement: Confinement, entry: child.EntryModule, own: int
) -> None:
    """Fork one child. ``pipes`` are its ends of its two pipes, ``own`` is the process id of the zygote."""
    try:
        pid = os.fork()
    except OSError as error:
        children.control.send(encode(Failed(f"no process could be forked: {error}", request.token)))
    else:
        if pid == 0:
            job_pipe, events_pipe = pipes
            child.run_child(confinement, entry, zygote=own, job_pipe=job_pipe, events_pipe=events_pipe, probe=request.probe)
        children.add(request.token, pid)
    finally:
        for pipe in pipes:
            os.close(pipe)


if __name__ == "__main__":
    main()
