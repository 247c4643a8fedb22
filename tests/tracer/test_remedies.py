"""An error that the sandbox causes names its remedy."""

from __future__ import annotations

import errno
import os

import pytest
from tapedeck.tracer.environment.remedies import remedy

REFUSED = os.strerror(errno.EPERM)


def raised_in(file: str, error: Exception) -> Exception:
    """Return an exception that was raised by code of this file."""
    with pytest.raises(type(error)) as info:
        exec(compile("raise error", file, "exec"), {"error": error})
    return info.value


@pytest.mark.parametrize(
    ("file", "error", "text"),
    [
        ("torch/autograd/profiler.py", RuntimeError(REFUSED), "cannot be profiled: remove the profiler"),
        ("torch/other.py", RuntimeError(REFUSED), "cannot use files, processes or the network"),
        ("subprocess.py", PermissionError(errno.EPERM, REFUSED), "one process"),
        ("socket.py", PermissionError(errno.EPERM, REFUSED), "no network"),
    ],
)
def test_a_refused_operation_has_a_remedy_that_fits_it(file: str, error: Exception, text: str) -> None:
    found = remedy(raised_in(file, error))
    assert found is not None
    assert text in found
    assert "with tapedeck run" in found


def test_an_error_of_the_program_has_no_remedy() -> None:
    assert remedy(raised_in("torch/autograd/profiler.py", RuntimeError("shapes differ"))) is None
