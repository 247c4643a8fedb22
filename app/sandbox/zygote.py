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
from typing import Final, NamedTuple, cast

import msgspec

from ..wire.catalogue import OptimizerCatalogue
from . import child, gaps, hot_pages, kernel, landlock, namespaces, readset, seccomp
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

_ZYGOTE_SCORE: Final = 500
"""How readily the kernel kills the zygote when memory runs out: before the server."""
_CHILD_SCORE: Final = 1000
"""How readily the kernel kills a child: before every other process."""
_ISOLATED: Final = "They run in namespaces without other files, without the network and without the name of the machine."


class _Children:
    """The children that have not been reaped."""

    def __init__(self, control: socket.socket, resident: int) -> None:
        self.control = control
        self.resident = resident
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


class _Prepared(NamedTuple):
    """What the zygote needs to fork children."""

    confinement: Confinement
    entry: child.EntryModule
    notes: list[str]
    optimizers: OptimizerCatalogue
    resident: int
    """Resident memory of the zygote, in bytes."""
    pages: hot_pages.HotPages | None


def main() -> None:
    """Prepare, report the result to the server, and serve requests until the control socket is closed."""
    config = msgspec.json.decode(sys.argv[2], type=ZygoteConfig)
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    oom = kernel.OomScore()
    oom.set(_ZYGOTE_SCORE)
    try:
        prepared = _prepare(config)
        ready = Ready(prepared.confinement.mode, prepared.notes, prepared.optimizers)
    except BaseException as error:
        control.send(encode(Failed(f"{type(error).__name__}: {error}"[:2000])))
        raise
    control.send(encode(ready))
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        _serve(control, prepared, oom)


def _prepare(config: ZygoteConfig) -> _Prepared:
    """Import what programs need, enter namespaces, drop privileges, and build the Landlock ruleset and the seccomp filter."""
    mode: Mode = config.mode or best_mode()
    sys.path[:0] = config.path
    for name in readset.PRELOADED:
        importlib.import_module(name)
    entry = cast("child.EntryModule", importlib.import_module(config.entry))
    entry.preload()
    optimizers = entry.optimizers()
    if mode == "nofiles":
        for name in readset.PRELOADED_WITHOUT_FILES:
            importlib.import_module(name)
    if mode != "none":
        tempfile.tempdir = "/nonexistent"  # libraries may read the name of the folder, but cannot write to it
    if kernel.threads() != 1:
        raise RuntimeError(f"the zygote has {kernel.threads()} threads")
    if shared := kernel.shared_mappings():
        raise RuntimeError(f"children would share memory: {shared[0]}")
    gc.collect()
    gaps.fill_gaps()
    gc.freeze()  # the collector never writes to these objects again, so children keep sharing their pages
    kernel.collapse_memory()
    pages = hot_pages.learn(entry.warm)
    size, resident = kernel.address_space() + config.memory_bytes, kernel.resident()
    isolated = False
    notes = ["Programs run with your own permissions, packages and current folder."]
    readable = readset.readable_paths()
    if mode != "none":
        reason = namespaces.enter(readable, readset.empty_folders()) if config.namespaces else "namespaces are turned off"
        isolated = reason is None
        notes = [
            drop_privileges(config.drop_uid, _needed_files(config.entry, isolated)),
            _ISOLATED if isolated else f"They can find out which files exist, because they have no namespaces: {reason}.",
        ]
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    rules = landlock.build_ruleset(readable) if mode == "full" else None
    filter_ = b"" if mode == "none" else seccomp.build_filter(os.uname().machine, files=mode == "full")
    gc.freeze()
    return _Prepared(Confinement(mode, rules, filter_, size, config, isolated), entry, notes, optimizers, resident, pages)


def _needed_files(entry: str, isolated: bool) -> list[str]:
    """Return one file of each folder that must stay readable.

    Children import from the standard library and PyTorch. Outside of namespaces, they also read the interpreter and Tapedeck.
    """
    names = ["torch"] if isolated else [entry.partition(".")[0], "torch"]
    specs = (importlib.util.find_spec(name) for name in names)
    ours = [] if isolated else [sys.executable, __file__]
    return [os.__file__, *ours, *(spec.origin for spec in specs if spec and spec.origin)]


def _serve(control: socket.socket, prepared: _Prepared, oom: kernel.OomScore) -> None:
    """Fork children on request and reap those that exit, until the control socket is closed."""
    children = _Children(control, prepared.resident)
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
                    _fork(request, pipes, children, prepared, own, oom)
                case Ping():
                    control.send(encode(Pong()))


def _fork(request: Spawn, pipes: list[int], children: _Children, prepared: _Prepared, own: int, oom: kernel.OomScore) -> None:
    """Fork one child. ``pipes`` are the child's ends of its two pipes, ``own`` is the process id of the zygote."""
    oom.set(_CHILD_SCORE)  # a child inherits the score; it cannot set it, since root owns the files of its /proc folder
    try:
        pid = os.fork()
    except OSError as error:
        children.control.send(encode(Failed(f"no process could be forked: {error}", request.token)))
    else:
        if pid == 0:
            job_pipe, events_pipe = pipes
            confinement, entry = prepared.confinement, prepared.entry
            child.run_child(
                confinement,
                entry,
                request,
                zygote=own,
                job_pipe=job_pipe,
                events_pipe=events_pipe,
                pages=prepared.pages,
            )
        children.add(request.token, pid)
    finally:
        oom.set(_ZYGOTE_SCORE)
        for pipe in pipes:
            os.close(pipe)


if __name__ == "__main__":
    main()
