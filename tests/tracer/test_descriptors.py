"""Text that is not written through ``sys.stdout`` and ``sys.stderr`` is recorded, if no other process reads the descriptors."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest
from tapedeck import wire
from tapedeck.tracer.environment import descriptors

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


@pytest.fixture
def own_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Return two descriptors, of files in memory, that stand for 1 and 2."""
    files = os.memfd_create("one"), os.memfd_create("two")
    monkeypatch.setattr(descriptors, "STREAMS", ((files[0], "stdout"), (files[1], "stderr")))
    yield files
    for file in files:
        os.close(file)


def test_files_that_no_other_process_uses_are_read_in_order(own_files: tuple[int, int]) -> None:
    one, two = own_files
    os.write(one, b"before")
    program = (
        f"{START}print('out')\nos.write({one}, b'sub\\n')\nos.write({two}, b'two\\n')\nprint('end')\n"
        f"copy = os.dup({one})\nos.write(copy, b'copied')\nos.close(copy)\nprint(os.read({one}, 9), os.write({one}, b''))\n"
    )
    _, recording = record(program, files=True)
    printed = [(each.stream, each.text) for each in recording.output()]
    assert printed == [("stdout", "out\nsub\n"), ("stderr", "two\n"), ("stdout", "end\ncopiedb'' 0\n")]


def test_a_file_that_no_other_process_uses_does_not_grow_without_end(own_files: tuple[int, int]) -> None:
    program = f"{START}for i in range(9):\n    os.write({own_files[0]}, str(i).encode() * 700_000)\n"
    _, recording = record(program, files=True, stdout_bytes=9_000_000)
    assert recording.stdout() == "".join(str(i) * 700_000 for i in range(9))
    assert os.fstat(own_files[0]).st_size <= descriptors.LAP * 2


def test_a_program_may_close_or_replace_its_files(own_files: tuple[int, int]) -> None:
    one, two = own_files
    program = f"{START}os.write({one}, b'a')\nos.dup2({two}, {one})\nos.write({one}, b'b')\nos.close({two})\nprint('c')\n"
    _, recording = record(program, files=True)
    assert recording.stdout() == "ac\n"
    os.memfd_create("again")  # for the fixture, which closes it
