"""A program prints the same bytes to both streams under ``tapedeck run`` as unrecorded, and its text is recorded by stream."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tapedeck import wire
from tapedeck.model import Limits
from tapedeck.recording import MemoryLog, Recording

from .stream_programs import FAILING, FOREIGN, PROGRAMS, START
from .test_commands import command

pytestmark = pytest.mark.slow

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "program.py"


def read_all(descriptor: int) -> bytes:
    """Read to the end of a pipe or terminal, and close it."""
    parts = []
    with contextlib.suppress(OSError):  # a terminal whose other end is closed
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
    os.close(descriptor)
    return b"".join(parts)


def without_times(text: bytes) -> bytes:
    """Return text without the times and the processes in torch's log messages."""
    return re.sub(rb"(?<=W)\d{4} [\d:.]+ \d+", b"", text)


def run(line: list[str], terminal: bool, descriptors: tuple[int, ...] = (), **options: Any) -> tuple[bytes, bytes, int]:
    """Run a command with both streams on pipes, or on one terminal. Return the bytes of each stream, and the exit status."""
    ends = [pty.openpty()] if terminal else [os.pipe(), os.pipe()]
    options.setdefault("env", ENVIRONMENT)
    process = subprocess.Popen(
        line, stdin=subprocess.DEVNULL, stdout=ends[0][1], stderr=ends[-1][1], pass_fds=descriptors, **options
    )
    for each in (*(end[1] for end in ends), *descriptors):
        os.close(each)
    found: list[bytes] = [b"", b""]
    threads = [
        threading.Thread(target=lambda i=i, end=end: found.__setitem__(i, read_all(end[0]))) for i, end in enumerate(ends)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return found[0], without_times(found[1]), process.wait(10)


def under_tapedeck(python: str, program: Path, terminal: bool, **options: Any) -> tuple[tuple[bytes, bytes, int], Recording]:
    """Record a file in a process of its own that has pipes or a terminal, as ``tapedeck run`` does."""
    text = program.read_text()
    limits = Limits(stdout_bytes=1 << 24, recording_bytes=1 << 28)
    job = wire.Job(
        text, [(1, len(text.splitlines()))], None, path=str(program), confined=False, own_streams=True,
        stdout_bytes=limits.stdout_bytes,
    )  # fmt: skip
    (job_read, job_write), (events_read, events_write) = os.pipe(), os.pipe()
    os.write(job_write, wire.encode_job(job))
    os.close(job_write)
    sent: list[bytes] = []
    reading = threading.Thread(target=lambda: sent.append(read_all(events_read)))
    reading.start()
    line = [python, "-m", "tapedeck.tracer", str(job_read), str(events_write)]
    result = run(line, terminal, (job_read, events_write), **options)
    reading.join(60)
    return result, Recording(MemoryLog(wire.Reader(limits).feed(sent[0])), text)


OF_THE_INTERPRETER = ("what it is", "a library's logger", "at exit", "a closed stream")
"""Programs for which it matters how the interpreter starts and ends the process."""


@pytest.mark.parametrize("name", PROGRAMS | FOREIGN)
def test_both_streams_have_the_bytes_of_an_unrecorded_run(python: str, program: Path, name: str) -> None:
    program.write_text((PROGRAMS | FOREIGN)[name])
    if name in OF_THE_INTERPRETER:
        python = sys.executable
    expected = run([python, str(program)], terminal=False)
    got, recording = under_tapedeck(python, program, terminal=False)
    assert got == expected
    assert expected[0] or expected[1]
    if name in PROGRAMS and name not in ("another encoding", "a surrogate"):
        # buffered text is written after bytes that are not buffered
        assert sorted(recording.stdout().splitlines()) == sorted(expected[0].decode().splitlines())
        assert without_times(recording.stderr().encode()) == expected[1]


@pytest.mark.parametrize("name", FAILING)
def test_the_traceback_of_an_exception_is_printed_as_unrecorded_and_recorded_once(
    python: str, program: Path, name: str
) -> None:
    program.write_text(FAILING[name])
    expected = run([python, str(program)], terminal=False)
    got, recording = under_tapedeck(python, program, terminal=False)
    assert got == expected
    (end,) = (event for event in recording.log.others() if isinstance(event, wire.EndEvent))
    assert end.failure is not None
    assert end.failure.traceback == expected[1].decode()
    assert recording.stderr() == ""


def test_the_report_does_not_repeat_the_traceback(python: str, program: Path) -> None:
    program.write_text(FAILING["an exception"])
    shown = command("run", "program.py", folder=program.parent, python=python)
    assert shown.returncode == 1
    assert shown.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert "ZeroDivisionError: division by zero" not in shown.stdout
    assert shown.stdout.splitlines()[-1].endswith("ZeroDivisionError on line 4. Everything recorded before that is above.")


ON_A_TERMINAL = {
    name: (PROGRAMS | FOREIGN)[name]
    for name in ("both streams", "tqdm", "a bar", "what it is", "bytes to the buffer", "another program", "a fork")
} | {"the size of the terminal": START + "print(os.get_terminal_size(1), os.isatty(1), os.ttyname(1) == os.ttyname(2))"}


@pytest.mark.parametrize("name", ON_A_TERMINAL)
def test_a_terminal_shows_the_text_of_an_unrecorded_run_in_the_same_order(python: str, program: Path, name: str) -> None:
    program.write_text(ON_A_TERMINAL[name])
    expected = run([python, str(program)], terminal=True)
    got, _ = under_tapedeck(python, program, terminal=True)
    assert got == expected


def test_both_streams_are_recorded_in_the_order_in_which_they_were_printed(python: str, program: Path) -> None:
    program.write_text(f"{START}for i in range(3):\n    print(i)\n    print(-i, file=sys.stderr)\n")
    _, recording = under_tapedeck(python, program, terminal=False)
    assert [(each.stream, each.text) for each in recording.output()] == [
        (stream, f"{sign * i}\n") for i in range(3) for stream, sign in (("stdout", 1), ("stderr", -1))
    ]


@pytest.mark.parametrize("variable", [{"PYTHONUNBUFFERED": "1"}, {"PYTHONIOENCODING": "ascii:replace"}], ids=str)
def test_the_variables_that_set_up_the_streams_have_their_effect(program: Path, variable: dict[str, str]) -> None:
    python = sys.executable
    program.write_text(
        f"{START}print('é')\nos.write(1, b'b\\n')\nsys.stdout.buffer.write(b'c\\n')\n"
        "print(sys.stdout.encoding, sys.stdout.errors, sys.stdout.write_through, hasattr(sys.stdout.buffer, 'raw'))\n"
    )
    environment = ENVIRONMENT | variable
    expected = run([python, str(program)], terminal=False, env=environment)
    got, recording = under_tapedeck(python, program, terminal=False, env=environment)
    assert got == expected
    assert recording.stdout().splitlines()[:2] in (["é", "c"], ["c", "é"])


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_program_without_a_stream_runs_as_unrecorded(program: Path, closed: str) -> None:
    program.write_text(f"{START}print('a')\nprint(sys.stdout is None, sys.stderr is None, file=open('found.txt', 'w'))\n")
    shell = f'"$0" -m tapedeck run program.py {closed}>&-'
    ended = subprocess.run(["/bin/sh", "-c", shell, sys.executable], cwd=program.parent, capture_output=True, timeout=120)
    assert (program.parent / "found.txt").read_text() == f"{closed == '1'} {closed == '2'}\n"
    assert b"Traceback" not in ended.stderr


def test_run_prints_stdout_and_stderr_to_its_own_stdout_and_stderr(
    python: str, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    program.write_text(
        f"{START}print('out')\nprint('err', file=sys.stderr)\nsubprocess.run('echo sub; echo two >&2', shell=True)\n"
    )
    shown = command("run", "program.py", folder=program.parent, python=python)
    assert shown.stdout.startswith("sub\nout\n")
    assert shown.stderr == "err\ntwo\n"


def test_json_separates_the_streams_and_nothing_else_is_on_stdout(python: str, program: Path) -> None:
    program.write_text(
        f"{START}print('out')\nprint('err', file=sys.stderr)\nsubprocess.run(['echo', 'sub'])\nos.write(2, b'two\\n')\n"
        "print('end')\n"
    )
    shown = command("run", "--json", "program.py", folder=program.parent, python=python)
    made = json.loads(shown.stdout)
    assert (made["stdout"], made["stderr"]) == ("out\nsub\nend\n", "err\ntwo\n")
    assert [each["text"] for each in made["output"]] == ["out\n", "err\n", "sub\n", "two\n", "end\n"]
    assert shown.stderr == ""
