"""Settings are read from the environment, documented in one table, and respect the limits of a container."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from tapedeck import settings

ROOT = Path(__file__).parent.parent
TABLES = runpy.run_path(str(ROOT / ".ci" / "settings.py"))


def test_the_tables_of_settings_are_up_to_date() -> None:
    text = (ROOT / "deploy" / "README.md").read_text()
    written = text.partition(TABLES["BEGIN"])[2].partition(TABLES["END"])[0]
    assert written == TABLES["tables"](), "run `.venv/bin/python .ci/settings.py`"


@pytest.mark.parametrize(("value", "shown"), [(True, "`1`"), ("", ""), (12 << 20, "`12582912` (12 MiB)"), (10.0, "`10`")])
def test_a_default_is_shown_as_it_is_written_in_the_environment(value: object, shown: str) -> None:
    assert TABLES["_shown"](value) == shown


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put this process into the control group ``/service/worker`` of a machine with 16 cores; return the group's folder."""
    (tmp_path / "own").write_text("1:name=systemd:/old\n0::/service/worker\n")
    folder = tmp_path / "groups" / "service" / "worker"
    folder.mkdir(parents=True)
    monkeypatch.setattr(settings, "CGROUP_OF_PROCESS", tmp_path / "own")
    monkeypatch.setattr(settings, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(settings.os, "sched_getaffinity", lambda _: set(range(16)))
    return folder


@pytest.mark.parametrize(
    ("limit", "limit_above", "cores"),
    [
        ("max 100000", "max 100000", 16),
        ("200000 100000", "max 100000", 2),
        ("max 100000", "300000 100000", 3),
        ("150000 100000", "max 100000", 2),
        ("10000 100000", "max 100000", 1),
        ("9900000 100000", "max 100000", 16),
        ("?", "?", 16),
    ],
)
def test_the_cores_are_those_that_the_control_groups_allow(group: Path, limit: str, limit_above: str, cores: int) -> None:
    (group / "cpu.max").write_text(f"{limit}\n")
    (group.parent / "cpu.max").write_text(f"{limit_above}\n")
    assert settings.cores() == cores


def test_the_cores_are_those_of_the_machine_without_control_groups(group: Path) -> None:
    assert settings.cores() == 16
    settings.CGROUP_OF_PROCESS.unlink()
    assert settings.cores() == 16
