"""Text that is not written through ``sys.stdout`` and ``sys.stderr`` is recorded, where nobody else reads the descriptors."""

from __future__ import annotations

import os
import tempfile

import pytest
from tapedeck import wire

from .run_twice import record

START = "import ctypes, os, subprocess, sys\n"
WRITERS = {
    "os.write": "os.write(1, b'sub\\n'); os.write(2, b'two\\n')",
    "a program": "subprocess.run('echo sub; echo two >&2', shell=True)",
    "a file": "open(1, 'w', closefd=False).write('sub\\n'); open(2, 'w', closefd=False).write('two\\n')",
    "a device": "for name, text in (('stdout', b'sub\\n'), ('stderr', b'two\\n')):\n"
    "    device = os.open(f'/dev/{name}', os.O_WRONLY)\n    os.write(device, text)\n    os.close(device)",
}


def printed(program: str, **options: object) -> list[tuple[str, str]]:
    _, recording = record(program, confined=False, **options)
    return [(each.stream, each.text) for each in recording.output()]


@pytest.mark.parametrize("name", WRITERS)
def test_foreign_text_is_recorded_in_order(name: str) -> None:
    program = f"{START}print('out')\n{WRITERS[name]}\nprint('end')\nprint('last', file=sys.stderr)\n"
    assert printed(program) == [("stdout", "out\nsub\n"), ("stderr", "two\n"), ("stdout", "end\n"), ("stderr", "last\n")]


def test_foreign_text_at_the_end_is_recorded_and_a_c_library_is_flushed() -> None:
    assert printed(f"{START}print('out')\nctypes.CDLL(None).puts(b'c')\n") == [("stdout", "out\nc\n")]


def test_foreign_text_counts_for_the_limit() -> None:
    events, recording = record(f"{START}os.write(1, b'x' * 3_000_000)\nprint('end')\n", confined=False, stdout_bytes=1000)
    assert recording.stdout() == "x" * 1000
    assert any(isinstance(event, wire.StdoutTruncated) for event in events)


def test_a_character_that_is_written_in_two_parts_is_recorded_as_one() -> None:
    program = f"{START}text = 'é'.encode()\nos.write(1, text[:1])\nprint(end='')\nsys.stdout.flush()\nos.write(1, text[1:])\n"
    assert printed(program) == [("stdout", "é")]


def test_the_descriptors_are_put_back() -> None:
    before = [os.fstat(number).st_ino for number in (1, 2)]
    opened = len(os.listdir("/proc/self/fd"))
    program = START + "copy = os.dup(1)\nos.dup2(2, 1)\nos.write(1, b'err')\nos.dup2(copy, 1)\nos.close(copy)\n"
    assert printed(program) == [("stderr", "err")]
    assert [os.fstat(number).st_ino for number in (1, 2)] == before
    assert len(os.listdir("/proc/self/fd")) == opened


@pytest.mark.parametrize("options", [{"confined": True}, {"confined": False, "own_streams": True}])
def test_the_descriptors_stay_where_the_sandbox_or_the_user_has_them(options: dict[str, bool]) -> None:
    before = os.fstat(1).st_ino
    _, recording = record(f"{START}print(os.fstat(1).st_ino)\n", **options)
    assert recording.stdout() in ("", f"{before}\n")


def test_foreign_text_is_recorded_where_no_file_can_be_created(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert printed(f"{START}os.write(1, b'sub')\n") == [("stdout", "sub")]
