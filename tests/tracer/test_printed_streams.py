"""The streams of a recorded program have what Python's own streams have."""

from __future__ import annotations

import contextlib
import io
import sys

import pytest

from .run_twice import record

CALLS = {
    "an encoding": "s.reconfigure(encoding='ascii', errors='replace')\nprint('é', s.encoding, s.errors)",
    "only errors": "s.reconfigure(errors='backslashreplace')\nprint('\\udc80', s.errors)",
    "an encoding makes errors strict": "s.reconfigure(encoding='latin-1')\nprint(s.errors)\nprint('é')",
    "text that cannot be encoded": "s.reconfigure(encoding='ascii')\n"
    "try:\n    print('é')\nexcept UnicodeEncodeError as e:\n    print(e)",
    "newlines": "s.reconfigure(newline='\\r\\n')\nprint('a')\ns.reconfigure(newline='')\nprint('b')",
    "buffering": "print(s.line_buffering, s.write_through)\ns.reconfigure(line_buffering=True)\nprint(s.line_buffering)",
    "a wrong encoding": "try:\n    s.reconfigure(encoding='none')\nexcept LookupError as e:\n    print(e, s.encoding)",
    "a wrong newline": "try:\n    s.reconfigure(newline='x')\nexcept ValueError as e:\n    print(e)",
    "a wrong name": "try:\n    s.reconfigure(colour=1)\nexcept TypeError:\n    print('no')",
    "bytes": "s.reconfigure(encoding='ascii')\ns.buffer.write('é\\n'.encode())\nprint(s.buffer.mode, s.mode)",
}


@pytest.mark.parametrize("kind", CALLS)
def test_a_stream_is_configured_as_in_python(kind: str) -> None:
    program = f"import sys\ns = sys.stdout\n{CALLS[kind]}\n"
    written = io.BytesIO()
    written.mode = "wb"  # type: ignore[attr-defined]
    alone = io.TextIOWrapper(written, "utf-8", sys.__stdout__.errors, newline="\n", write_through=True)  # type: ignore[union-attr]
    alone.mode = "w"  # type: ignore[misc]
    alone_started = program.replace("s.write_through", "False")
    with contextlib.redirect_stdout(alone):
        exec(compile(alone_started, "<alone>", "exec"), {})
    expected = written.getvalue().decode("latin-1" if "latin" in program else "utf-8", "surrogateescape")
    _, recording = record(program)
    assert recording.stdout() == expected


def test_the_streams_have_the_attributes_of_pythons_streams() -> None:
    public = [name for name in dir(io.TextIOWrapper) if not name.startswith("_")]
    _, recording = record(
        f"import sys\nprint([n for s in (sys.stdout, sys.stderr) for n in {public} if not hasattr(s, n)])\n"
        "print(sys.stdout.line_buffering, sys.stderr.line_buffering)\n"
    )
    assert recording.stdout() == "[]\nFalse True\n"
