"""Run attacks in the real sandbox. All of them fail, leave nothing behind, and do not disturb the next program."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tapedeck.sandbox import selftest
from tapedeck.sandbox.landlock import version

from .attempts import ATTEMPTS, IN_TURN, PRELUDE
from .contained import CONTAINED

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]  # the fast tests of the sandbox are in test_ordinary and test_with_tracer

SECRET = "a-secret-of-the-server-3f9c"


class Surroundings(NamedTuple):
    """The files and the socket that attacks try to reach, and the state of the secret file before."""

    folder: Path
    secret_file: Path
    listener: socket.socket
    before: os.stat_result

    def prelude(self, runner: Any, victim: int) -> str:
        return PRELUDE.format(
            mode=runner.executor.mode,
            parent=runner.executor.zygote,
            server=os.getpid(),
            victim=victim,
            port=self.listener.getsockname()[1],
            folder=str(self.folder),
            secret_file=str(self.secret_file),
        )

    def is_untouched(self) -> bool:
        now = self.secret_file.stat()
        fields = ("st_mode", "st_uid", "st_size", "st_mtime", "st_nlink")
        same = all(getattr(now, field) == getattr(self.before, field) for field in fields)
        return same and [path.name for path in self.folder.iterdir()] == [self.secret_file.name]


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("open")
    # Make the folders above accessible to everybody: the sandbox must deny access, not the file permissions.
    for above in (folder, *folder.parents):
        if above.is_relative_to(tempfile.gettempdir()) and above != Path(tempfile.gettempdir()):
            above.chmod(0o755)
    folder.chmod(0o777)
    secret_file = folder / "secret"
    secret_file.write_text(SECRET)
    secret_file.chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Surroundings(folder, secret_file, listener, secret_file.stat())


@pytest.fixture(scope="module")
def attack(runner: Any, surroundings: Surroundings, victim: subprocess.Popen[bytes]) -> Any:
    """Run a program as an attack, and check afterwards that nothing has changed."""

    def run(program: str, **limits: Any) -> Any:
        zygote = runner.executor.zygote
        outcome = runner.run(surroundings.prelude(runner, victim.pid) + program, **limits)
        assert SECRET not in repr(outcome.events)

        after = runner.run("print(6 * 7)")
        assert (after.status, after.text) == ("done", "42\n")
        assert victim.poll() is None, "the victim was killed"
        assert runner.executor.zygote == zygote, "the zygote was replaced"
        assert surroundings.is_untouched()
        assert not [path for name in ("/tmp", "/dev/shm") for path in Path(name).glob("tapedeck-*attack*")]
        with pytest.raises(BlockingIOError):
            surroundings.listener.accept()
        assert len(runner.children()) <= 4, "a child is still running"
        return outcome

    return run


@pytest.fixture(scope="module")
def printed(attack: Any) -> dict[str, list[str]]:
    """What each attempt printed. All of them run in one child, which must survive them."""
    outcome = attack(IN_TURN.format(attempts=ATTEMPTS))
    lines = dict(json.loads(line) for line in outcome.text.splitlines())
    assert outcome.status == "done", (outcome.failure, next((name for name in ATTEMPTS if name not in lines), None))
    return lines


@pytest.mark.parametrize("name", ATTEMPTS)
def test_the_kernel_refuses_a_program_that(printed: dict[str, list[str]], name: str) -> None:
    assert printed[name]
    assert set(printed[name]) == {"denied"}


@pytest.mark.parametrize("name", CONTAINED)
def test_the_sandbox_contains_a_program_that(attack: Any, name: str) -> None:
    program, statuses = CONTAINED[name]
    outcome = attack(program, wall_seconds=0.5 if "timed_out" in statuses else 30.0)
    assert "ESCAPED" not in outcome.text
    assert "SUSPICIOUS" not in outcome.text
    assert outcome.status in statuses, outcome
    if outcome.status != "done":
        assert outcome.failure is not None
        assert outcome.failure.message


def test_every_system_call_that_is_not_listed_is_denied(attack: Any) -> None:
    from tapedeck.sandbox.seccomp import MACHINES

    listed = set(MACHINES[os.uname().machine].numbers.values())  # some are allowed with some arguments only
    # seccomp does not filter uretprobe and uprobe. Outside a probe they only end the caller.
    probes = {335, 336} if os.uname().machine == "x86_64" else set()
    program = f"""
wrong = []
for number in range(600):
    if number in {listed | probes!r}: continue
    ctypes.set_errno(0)
    result = libc.syscall(number, -1, -1, -1, -1, -1, -1)
    if result != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS): wrong.append((number, result, ctypes.get_errno()))
print("denied" if not wrong else wrong)
"""
    assert attack(program).text == "denied\n"


def test_a_program_finds_no_trace_of_an_earlier_one(attack: Any) -> None:
    mark = "left-behind-by-another"
    keep = f"import builtins, torch\nbuiltins.left = torch.left = sys.left = {mark!r}\nkept = {mark.encode()!r} * 1_000_000"
    assert attack(keep).status == "done"
    search = f"""
import builtins, gc, torch
half = {mark[:9]!r}
print(hasattr(builtins, "left"), hasattr(torch, "left"), hasattr(sys, "left"), "left" in globals())
print([1 for thing in gc.get_objects() if isinstance(thing, dict) and thing is not globals()
       for value in list(thing.values()) if isinstance(value, str) and value.startswith(half) and "behind-by" in value])
import mmap
whole = half.encode() + b"behind-by"
fresh = mmap.mmap(-1, 64 << 20), torch.empty(64 << 20, dtype=torch.uint8).numpy().data
print(sum(whole in bytes(memory[at : at + (1 << 20)]) for memory in fresh for at in range(0, 64 << 20, 1 << 20)))
"""
    assert attack(search).text == "False False False False\n[]\n0\n"


@pytest.mark.parametrize(
    "name",
    [
        "reads the list of users", "lists a folder", "lists the root", "writes a file", "creates a folder", "runs a shell",
        "reads its parent's limits", "opens a TCP socket", "opens a local socket", "creates an event descriptor",
    ],
)  # fmt: skip
def test_without_the_sandbox_nothing_stops_a_program_that(unconfined: Any, surroundings: Surroundings, name: str) -> None:
    """Without the sandbox, every attack works. A successful attack on the sandbox would therefore be detected."""
    outcome = unconfined.run(surroundings.prelude(unconfined, os.getpid()) + ATTEMPTS[name])
    (surroundings.folder / "written").unlink(missing_ok=True)
    if (surroundings.folder / "made").exists():
        (surroundings.folder / "made").rmdir()
    assert "ESCAPED" in outcome.text, outcome


@pytest.fixture(scope="module")
def unconfined(make_runner: Any) -> Any:
    made = make_runner("none", entry="light_entry")
    yield made
    made.close()


NOTICED = [
    "reads the processor time of its parent", "reads the processor time of the server",
    "reads the processor time of a process of the same user", "reads the processor time of a thread of the server",
    "reads the resolution of the server's clock", "sleeps on the clock of a process of the same user",
    "finds process ids by their clocks", "reads a clock with a high bit", "reads an alarm clock",
    "lists the processors of its parent", "lists the processors of the server", "finds process ids by their processors",
    "fills its user's queue of signals", "has room for a message queue", "has room for queued signals",
    "wakes waiters in shared memory",
    "moves waiters between shared memory", "merges its pages with those of others", "removes pages of shared memory",
    "keeps memory from its forks", "wipes memory in its forks", "pages memory out", "makes its memory cold",
    "populates memory at once", "maps a huge page of the machine", "locks a mapping in memory",
]  # fmt: skip
"""Attempts against which ``leaky_entry`` has no protection."""


def test_attempts_that_a_leaky_sandbox_allows_are_detected(
    make_runner: Any, surroundings: Surroundings, victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    tested = selftest.passed
    monkeypatch.setattr(selftest, "passed", lambda checks: True)
    leaky = make_runner("full" if version() else "nofiles", entry="leaky_entry", namespaces=False)
    try:
        failed = {check.name for check in leaky.executor.checks if not check.ok}
        assert failed == {"reading another process's clock is denied", "reading which cores another process may use is denied"}
        assert not tested(leaky.executor.checks)  # no program would run
        chosen = {name: ATTEMPTS[name] for name in NOTICED}
        outcome = leaky.run(surroundings.prelude(leaky, victim.pid) + IN_TURN.format(attempts=chosen))
        printed = dict(json.loads(line) for line in outcome.text.splitlines())
        assert [name for name in NOTICED if set(printed[name]) <= {"denied"}] == []
    finally:
        leaky.close()
