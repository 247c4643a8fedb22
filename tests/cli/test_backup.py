"""The commands ``backup`` and ``restore``, and the start of a server whose recordings cannot be used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tapedeck.cli.commands import main
from tapedeck.store import Store

from ..handmade_events import fit
from ..store.test_store import DONE, new


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a command in this process, and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["tapedeck", *arguments])
    with pytest.raises(SystemExit) as exited:
        main()
    return int(exited.value.code or 0)


def test_recordings_are_backed_up_and_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, file, elsewhere = (str(tmp_path / name) for name in ("recordings", "file", "elsewhere"))
    store = Store(Path(folder))
    store.write(new(), fit(), 0, DONE)
    store.close()
    monkeypatch.setenv("TAPEDECK_DATA", folder)
    assert call(monkeypatch, "backup", file) == 0
    assert capsys.readouterr().out == f"{file} has 1 run.\n"
    assert call(monkeypatch, "restore", file, "--data", elsewhere) == 0
    assert capsys.readouterr().out == f"{elsewhere} has 1 run.\n"
    assert call(monkeypatch, "restore", file) == 2
    assert "--force" in capsys.readouterr().err
    assert call(monkeypatch, "restore", file, "--force") == 0
    assert call(monkeypatch, "backup", file, "--data", ":memory:") == 2
    assert "--data" in capsys.readouterr().err


@pytest.mark.slow
def test_a_server_reports_damaged_recordings_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "tapedeck.sqlite3"
    file.write_bytes(b"damaged" * 1_000)
    command = [sys.executable, "-m", "tapedeck", "serve", "--port", "0", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"tapedeck: {file} cannot be used: it is damaged.")
    assert file.read_bytes() == b"damaged" * 1_000
