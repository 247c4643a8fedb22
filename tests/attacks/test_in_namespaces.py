"""Where the kernel allows namespaces, files that a program may not read do not exist for it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .attempts import ATTEMPTS, IN_TURN, PRELUDE
from .test_ordinary import PROGRAMS, WITH_FILES

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

ABSENT = """
NOTHING = "denied"
DENIED += (errno.ENOENT, errno.ENOTDIR)
REFUSALS += ["No such file", "does not exist", "does not a valid", "cannot open"]
"""
"""Further errors that count as denied, because a file does not exist."""

LOOK = """
import os
print([path for path in {paths!r} if os.path.lexists(path)], os.uname().nodename)
"""


MOUNT = """
import ctypes, os
libc = ctypes.CDLL(None)
if libc.unshare(0x00020000 | (0 if os.geteuid() == 0 else 0x10000000)) != 0:
    raise SystemExit(1)
raise SystemExit(libc.mount(None, b"/", None, 0x44000, None) != 0)  # keep mounts to this namespace
"""
"""A program that succeeds if the machine allows a mount namespace, and the change of mounts in it."""


@pytest.fixture(scope="module")
def isolated(make_runner: Any) -> Iterator[Any]:
    """A runner whose zygote is in namespaces."""
    if subprocess.run([sys.executable, "-S", "-c", MOUNT], check=False).returncode != 0:
        pytest.skip("this machine allows no mount namespaces")
    made = make_runner("full")
    try:
        assert "in namespaces" in " ".join(made.executor.report)
        yield made
    finally:
        made.close()


@pytest.fixture
def hidden() -> Iterator[list[str]]:
    """Paths that exist on this machine, for every user, and that no program may read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder, "file")
        file.write_text("x")
        yield ["/proc", "/proc/self", "/sys", "/home", "/etc/group", "/bin/sh", __file__, folder, str(file)]


def test_other_files_and_the_name_of_the_machine_do_not_exist(isolated: Any, hidden: list[str]) -> None:
    assert isolated.run(LOOK.format(paths=hidden)).text == "[] tapedeck\n"


@pytest.mark.parametrize("runner", ["full"], indirect=True)
def test_without_namespaces_a_program_finds_other_files_and_the_name_of_the_machine(runner: Any, hidden: list[str]) -> None:
    assert runner.run(LOOK.format(paths=hidden)).text == f"{hidden} {os.uname().nodename}\n"


def test_every_attempt_is_still_refused(isolated: Any, victim: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        prelude = PRELUDE.format(
            mode="full", parent=isolated.executor.zygote, server=os.getpid(), victim=victim.pid, port=listener.getsockname()[1],
            folder=str(tmp_path), secret_file=str(tmp_path / "secret"),
        )  # fmt: skip
        outcome = isolated.run(prelude + ABSENT + IN_TURN.format(attempts=ATTEMPTS))
    printed = dict(json.loads(line) for line in outcome.text.splitlines())
    assert {name: printed.get(name) for name in ATTEMPTS if set(printed.get(name, ["not made"])) != {"denied"}} == {}
    assert victim.poll() is None
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("name", [*WITH_FILES, "imports the standard library", "uses numpy", "loads data", "saves and loads"])
def test_a_program_works_if_it(isolated: Any, name: str) -> None:
    program = "import numpy, torch\nimport torch.nn.functional as F\n" + {**PROGRAMS, **WITH_FILES}[name]
    outcome = isolated.run(program, wall_seconds=20.0)
    assert outcome.status == "done", outcome.failure and outcome.failure.traceback


def test_modules_are_still_imported_when_they_are_needed(isolated: Any) -> None:
    program = "import smtplib, xml.dom.minidom, torch.optim.swa_utils, importlib.metadata as m\nprint(m.version('numpy') > '')"
    assert isolated.run(program).text == "True\n"


def test_a_child_is_killed_before_the_zygote_when_memory_runs_out(isolated: Any) -> None:
    assert isolated.run("print(1)").status == "done"
    deadline = time.monotonic() + 30
    while (score := oom_score(isolated.executor.zygote)) != 500 or len(
        isolated.children()
    ) < 2:  # the score is 1000 while the zygote forks
        assert time.monotonic() < deadline, score
        time.sleep(0.02)
    assert {oom_score(pid) for pid in isolated.children()} == {1000}


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())
