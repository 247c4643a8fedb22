"""Run the attacks as the user ``nobody``, in a mount namespace in which ``nobody`` can read the interpreter."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
HERE = Path(__file__).parent

# Other users cannot read an interpreter below a private home folder. In a new mount namespace, mount a public folder over
# the home folder, and mount only the interpreter into it.
UNCOVER = """
set -e
mkdir -p "$1"
mount --bind "$2" "$1"
mount -t tmpfs -o mode=755 none "$3"
mkdir -p "$2"
mount --move "$1" "$2"
shift 3
exec "$@"
"""


# An interpreter that cannot read its own library may silently use another one.
PROBE = f"import sys, torch; open(sys.executable); assert sys.base_prefix == {sys.base_prefix!r}"


def readable(tmp_path: Path) -> list[str]:
    """Return a command prefix under which ``nobody`` can read the interpreter; skip the test if there is none."""
    if os.geteuid() != 0:
        pytest.skip("the suite itself runs as a normal user")
    if not (shutil.which("setpriv") and shutil.which("unshare")):
        pytest.skip("needs setpriv and unshare")
    home, base = Path.home(), Path(sys.base_prefix)
    uncover = ["unshare", "--mount", "sh", "-c", UNCOVER, "sh", str(tmp_path / "aside"), str(base), str(home)]
    for command in ([], uncover if base.is_relative_to(home) else []):
        tried = subprocess.run([*command, *NOBODY, sys.executable, "-c", PROBE], cwd="/", capture_output=True, text=True)
        if tried.returncode == 0:
            return command
    pytest.skip(f"the interpreter cannot be read by another user: {tried.stderr.strip()[-200:]}")


def test_the_attacks_fail_as_a_normal_user(tmp_path: Path) -> None:
    command = [*readable(tmp_path), *NOBODY]
    suite = [
        sys.executable,
        "-m",
        "pytest",
        str(HERE / "test_attacks.py"),
        str(HERE / "test_in_namespaces.py"),
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-k",
        "refuses or every_system_call or attempt_is_still or do_not_exist",
    ]
    home = {"HOME": "/nonexistent", "PATH": os.environ["PATH"], "TMPDIR": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run([*command, *suite], cwd=ROOT, env=home, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout
    skipped = [line for line in ran.stdout.splitlines() if line.startswith("SKIPPED")]
    assert all("allows no mount namespaces" in line for line in skipped), skipped


def test_a_server_started_as_root_runs_programs_as_nobody(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from tapedeck import wire
from tapedeck.executor import LocalExecutor
from tapedeck.settings import Settings
async def main():
    executor = LocalExecutor(Settings(children=1), entry="stub_entry", path=({str(HERE.parent / "sandbox")!r},))
    await executor.start()
    job = wire.Job("import os, torch; print(os.getresuid(), os.getresgid(), os.getgroups())", [(1, 1)])
    async for events in executor.run(job, limits=Settings().limits, cancelled=asyncio.Event()):
        for event in events:
            print(event)
    print(executor.report)
    await executor.close()
asyncio.run(main())
"""
    command = readable(tmp_path)
    ran = subprocess.run([*command, sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "(65534, 65534, 65534) (65534, 65534, 65534) []" in ran.stdout, ran.stdout
    assert "uid 65534, without capabilities" in ran.stdout
