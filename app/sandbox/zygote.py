"""Hold a loaded interpreter and fork confined children from it, on the pool's orders.

Run as ``python -P -s -B -m tapedeck.sandbox.zygote <descriptor> <plan>``, by :mod:`.launch`. It has no secrets, one
thread, and never sees a program: what it had seen, the next child could read. When the control socket closes, it ends,
and its children with it.
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
from .confine import Confinement, best_mode, give_up_root
from .control import PACKET, Broken, Gone, Mode, Plan, Ready, Spawn, Spawned, decode_order, encode


class _Children:
    """Those that live: by pidfd, their token and process id."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.resident = kernel.resident()
        self.living: dict[int, tuple[int, int]] = {}
        self.poll = select.poll()
        self.poll.register(control, select.POLLIN)

    def add(self, token: int, pid: int) -> None:
        pidfd = os.pidfd_open(pid)
        self.living[pidfd] = (token, pid)
        self.poll.register(pidfd, select.POLLIN)
        socket.send_fds(self.control, [encode(Spawned(token, pid))], [pidfd])

    def reap(self, pidfd: int) -> None:
        token, pid = self.living.pop(pidfd)
        self.poll.unregister(pidfd)
        os.close(pidfd)
        _, status, usage = os.wait4(pid, 0)
        self.control.send(encode(Gone(token, status, max(0, usage.ru_maxrss * 1024 - self.resident))))


def main() -> None:
    """Start, report, and serve until the pool goes away."""
    plan = msgspec.json.decode(sys.argv[2], type=Plan)
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    try:
        given, entry, notes = _prepare(plan)
        ready = Ready(given.mode, notes, entry.optimizers())
    except BaseException as error:
        control.send(encode(Broken(f"{type(error).__name__}: {error}"[:2000])))
        raise
    control.send(encode(ready))
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        _serve(control, given, entry)


def _prepare(plan: Plan) -> tuple[Confinement, child.Entry, list[str]]:
    """Give up what can be given up, load what programs need, and prepare what each child puts on."""
    mode: Mode = plan.mode or best_mode()
    _prefer_over_the_server()
    sys.path[:0] = plan.path
    notes = [give_up_root(plan.drop_uid, _needed(plan.entry))]
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    for name in readset.PRELOADED:
        importlib.import_module(name)
    entry = cast("child.Entry", importlib.import_module(plan.entry))
    entry.preload()
    if mode == "nofiles":
        for name in readset.PRELOADED_WITHOUT_FILES:
            importlib.import_module(name)
    # A folder that is not there: libraries that only ask for a name go on, those that write fail.
    tempfile.tempdir = "/nonexistent"
    rules = landlock.ruleset(readset.readable()) if mode == "full" else None
    program = b"" if mode == "none" else seccomp.build(os.uname().machine, files=mode == "full")
    if kernel.threads() != 1:
        raise RuntimeError(f"the zygote has {kernel.threads()} threads")
    if shared := kernel.shared_mappings():
        raise RuntimeError(f"children would share memory: {shared[0]}")
    gc.collect()
    gc.freeze()
    size = kernel.address_space() + plan.memory_bytes
    return Confinement(mode, rules, program, size, plan), entry, notes


def _needed(entry: str) -> list[str]:
    """A file of each place that is still read from later: the interpreter, its library, ours, the entry's, torch's."""
    specs = (importlib.util.find_spec(name) for name in (entry.partition(".")[0], "torch"))
    return [sys.executable, os.__file__, __file__, *(spec.origin for spec in specs if spec and spec.origin)]


def _serve(control: socket.socket, given: Confinement, entry: child.Entry) -> None:
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
            _fork(decode_order(packet), pipes, children, given, entry, own)


def _fork(order: Spawn, pipes: list[int], children: _Children, given: Confinement, entry: child.Entry, own: int) -> None:
    try:
        pid = os.fork()
    except OSError as error:
        children.control.send(encode(Broken(f"no process could be forked: {error}", order.token)))
    else:
        if pid == 0:
            child.live(given, entry, own, pipes[0], pipes[1], order.probe)
        children.add(order.token, pid)
    finally:
        for pipe in pipes:
            os.close(pipe)


def _prefer_over_the_server() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass


if __name__ == "__main__":
    main()
