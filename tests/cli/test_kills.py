"""Whatever is killed under load, no acknowledged run is lost, and the server accepts programs again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).parent.parent.parent / "benchmarks" / "kills.py"


@pytest.mark.sandbox
@pytest.mark.slow
def test_no_acknowledged_run_is_lost_when_processes_are_killed() -> None:
    command = [sys.executable, str(KILLS), "--kinds", "child,zygote,server,child", "--count", "4", "--any-time"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 lost, 0 not intact" in done.stdout
