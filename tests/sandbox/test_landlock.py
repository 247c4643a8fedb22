"""The Landlock ruleset allows reading the listed files, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import tapedeck
from tapedeck.sandbox import landlock, readset


def test_each_abi_version_restricts_the_rights_that_it_has() -> None:
    assert landlock.handled(1) == ((1 << 13) - 1, 0, 0)
    assert landlock.handled(3) == ((1 << 15) - 1, 0, 0)
    assert landlock.handled(5) == ((1 << 16) - 1, 3, 0)
    assert landlock.handled(9) == ((1 << 16) - 1, 3, 3)


def test_tapedeck_and_site_packages_as_a_whole_are_not_readable() -> None:
    readable = [Path(path).resolve() for path in readset.readable_paths()]
    for source in (tapedeck.__file__, landlock.__file__):
        assert source
        assert not [path for path in readable if Path(source).resolve().is_relative_to(path)]
    assert not [path for path in readable if path.name in ("site-packages", "dist-packages")]


def test_the_standard_library_torch_and_numpy_are_readable() -> None:
    readable = readset.readable_paths()
    assert os.__file__ in readable
    assert {"torch", "numpy", "sympy"} <= {Path(path).name for path in readable}


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
def test_a_restricted_process_can_read_listed_files_only(tmp_path: Path) -> None:
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


@pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
def test_a_restricted_process_can_read_the_versions_of_packages_but_not_where_they_are_from() -> None:
    program = """
from importlib.metadata import distribution, version
from tapedeck.sandbox import kernel, landlock, readset
rules = landlock.build_ruleset(readset.readable_paths())
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
landlock.restrict(rules)
print(version("torch"), version("numpy"), distribution("torch").read_text("RECORD"))
"""
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == [version("torch"), version("numpy"), "None"]
