"""Where the machine delegates a control group, it limits the zygote and its children together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tapedeck.executor import LocalExecutor
from tapedeck.model import Limits
from tapedeck.sandbox import cgroup
from tapedeck.sandbox.cgroup import GroupLimits, NotDelegated, create
from tapedeck.settings import Settings

LIMITS = GroupLimits(memory_bytes=1000 << 20, processes=70, cpus=1.5)
FILES = ("cgroup.procs", "cgroup.controllers", "cgroup.subtree_control", "memory.max", "pids.max", "cpu.max", "cpu.weight")


def group(tmp_path: Path, pids: list[int], name: str = "tapedeck.service", controllers: str = "cpuset cpu memory pids") -> Path:
    """Make files as the kernel shows them to a process in the group ``name`` with other processes; return its folder."""
    own = tmp_path / "groups" / "system.slice" / name
    for folder in (own, own / "server", own / "programs"):
        folder.mkdir(parents=True)
        for file in FILES:
            (folder / file).write_text("")
    (own / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
    (own / "cgroup.controllers").write_text(controllers + "\n")
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(f"4:memory:/other\n0::/system.slice/{name}\n")
    (tmp_path / "proc" / "self" / "mountinfo").write_text(
        "22 1 0:20 / /proc rw - proc proc rw\n"
        f"30 22 0:26 / {tmp_path}/groups rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    )
    return own


def parents(tmp_path: Path, of: dict[int, int]) -> None:
    for pid, parent in of.items():
        (tmp_path / "proc" / str(pid)).mkdir()
        (tmp_path / "proc" / str(pid) / "stat").write_text(f"{pid} (a name) with) S {parent} 0 0")


def test_the_server_and_the_programs_get_separate_groups_and_only_the_programs_are_limited(tmp_path: Path) -> None:
    own = group(tmp_path, [os.getpid(), 70001])
    parents(tmp_path, {70001: os.getpid()})  # a worker of the server
    made = create(LIMITS, tmp_path / "proc")
    assert (own / "server" / "cgroup.procs").read_text() == "70001"  # the last process id that was written
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    limits = {file: (own / "programs" / file).read_text() for file in ("memory.max", "pids.max", "cpu.max", "cpu.weight")}
    assert limits == {"memory.max": str(1512 << 20), "pids.max": "70", "cpu.max": "150000 100000", "cpu.weight": "50"}
    made.add(4321)
    assert (own / "programs" / "cgroup.procs").read_text() == "4321"
    assert str(made) == ("A control group limits all programs together: 1,512 MB of memory, 70 processes, 1.5 cores.")


def test_a_server_that_systemd_put_into_a_group_of_its_own_uses_the_group_above(tmp_path: Path) -> None:
    own = group(tmp_path, [])
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/system.slice/tapedeck.service/server\n")
    (own / "server" / "cgroup.procs").write_text(f"{os.getpid()}\n")
    assert create(LIMITS, tmp_path / "proc").folder == own / "programs"
    assert (own / "server" / "cgroup.procs").read_text() == f"{os.getpid()}\n"


def test_only_the_controllers_that_are_delegated_are_used(tmp_path: Path) -> None:
    own = group(tmp_path, [os.getpid()], controllers="cpu")
    made = create(GroupLimits(1, 1, 0.0), tmp_path / "proc")
    assert (own / "cgroup.subtree_control").read_text() == "+cpu"
    assert (own / "programs" / "cpu.max").read_text() == "max 100000"
    assert (own / "programs" / "memory.max").read_text() == ""
    assert str(made) == "A control group limits all programs together: a lower share of the cores than the server."


def test_the_processes_of_others_are_not_moved(tmp_path: Path) -> None:
    own = group(tmp_path, [os.getpid(), 70002])
    parents(tmp_path, {70002: 1, 1: 0})
    with pytest.raises(NotDelegated, match="other processes"):
        create(LIMITS, tmp_path / "proc")
    assert (own / "server" / "cgroup.procs").read_text() == ""


def test_without_a_delegated_group_the_reason_is_stated(tmp_path: Path) -> None:
    with pytest.raises(NotDelegated, match="version 2"):
        create(LIMITS, tmp_path)
    own = group(tmp_path, [os.getpid()], controllers="hugetlb")
    with pytest.raises(NotDelegated, match="no controller"):
        create(LIMITS, tmp_path / "proc")
    (own / "cgroup.subtree_control").unlink()
    with pytest.raises(NotDelegated, match="does not delegate"):
        create(LIMITS, tmp_path / "proc")


ON_THIS_KERNEL = """
import os, subprocess, sys
from pathlib import Path
from tapedeck.sandbox import cgroup
cgroup._CONTROLLERS = tuple(Path(sys.argv[1], "cgroup.controllers").read_text().split())[:1]
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
made = cgroup.create(cgroup.GroupLimits(1 << 30, 50, 0.0))
child = subprocess.Popen(["sleep", "60"])
made.add(child.pid)
print(cgroup.own_folder(), Path(f"/proc/{child.pid}/cgroup").read_text().split("0::")[1].strip())
again = cgroup.create(cgroup.GroupLimits(1 << 30, 50, 0.0))
print(again.folder == made.folder)
child.kill()
child.wait()
"""


def test_the_kernel_accepts_the_groups(tmp_path: Path) -> None:
    try:
        base = cgroup.own_folder() / f"tapedeck-test-{os.getpid()}"
        base.mkdir()
    except (NotDelegated, OSError) as error:
        pytest.skip(f"this machine lets nobody make control groups of version 2: {error}")
    try:
        if not (base / "cgroup.controllers").read_text().split():
            pytest.skip("no controller of version 2 is passed on to a new control group")
        ran = subprocess.run([sys.executable, "-c", ON_THIS_KERNEL, str(base)], check=True, capture_output=True, text=True)
        assert ran.stdout.splitlines() == [f"{base}/server {str(base)[str(base).index('/tapedeck-test') :]}/programs", "True"]
    finally:
        for folder in (*base.iterdir(), base):
            if folder.is_dir():
                folder.rmdir()


@pytest.mark.anyio
@pytest.mark.sandbox
async def test_each_zygote_joins_the_group_before_it_forks_and_reports_this(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = group(tmp_path, [os.getpid()])
    monkeypatch.setattr("tapedeck.executor.create", lambda limits: create(limits, tmp_path / "proc"))
    settings = Settings(children=1, programs_memory_mb=512, programs_cpus=0.5, limits=Limits(wall_seconds=10))
    executor = LocalExecutor(settings, entry="light_entry", path=(str(Path(__file__).parent),))
    await executor.start()
    try:
        await executor.settled()
        assert (own / "programs" / "cgroup.procs").read_text() == str(executor.zygote)
        assert (own / "programs" / "memory.max").read_text() == str(1024 << 20)
        assert "1,024 MB of memory, 68 processes, 0.5 cores" in " ".join(executor.report)
    finally:
        await executor.close()
