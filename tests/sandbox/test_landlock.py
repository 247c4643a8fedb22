"""Hold the rules to what they may let be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tapedeck
from tapedeck.sandbox import landlock, readset


def test_an_abi_takes_away_what_it_knows_and_no_more() -> None:
    assert landlock.handled(1) == ((1 << 13) - 1, 0, 0)
    assert landlock.handled(3) == ((1 << 15) - 1, 0, 0)
    assert landlock.handled(5) == ((1 << 16) - 1, 3, 0)
    assert landlock.handled(9) == ((1 << 16) - 1, 3, 3)


def test_neither_tapedeck_nor_site_packages_as_a_whole_may_be_read() -> None:
    readable = [Path(path).resolve() for path in readset.readable_paths()]
    for source in (tapedeck.__file__, landlock.__file__):
        assert source
        assert not [path for path in readable if Path(source).resolve().is_relative_to(path)]
    assert not [path for path in readable if path.name in ("site-packages", "dist-packages")]


def test_the_library_torch_and_numpy_may_be_read() -> None:
    readable = readset.readable_paths()
    assert os.__file__ in readable
    assert {"torch", "numpy", "sympy"} <= {Path(path).name for path in readable}


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
def test_a_process_under_rules_reads_what_is_listed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "yes").mkdir()
    for name in ("yes/file", "no"):
        (tmp_path / name).write_text("")
    program = f"""
import os
from tapedeck.sandbox import kernel, landlock
rules = landlock.build_ruleset([{str(tmp_path / "yes")!r}, "/nonexistent"])
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
landlock.restrict(rules)
open({str(tmp_path / "yes/file")!r})
os.listdir({str(tmp_path / "yes")!r})
for path, how in (({str(tmp_path / "no")!r}, "r"), ({str(tmp_path / "yes/file")!r}, "w"), ({str(tmp_path / "yes/new")!r}, "w")):
    try:
        open(path, how)
    except PermissionError:
        print("denied")
"""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == ["denied"] * 3
