"""The examples in docstrings run and give the documented results."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
import tapedeck

APP = Path(tapedeck.__file__).parent
WITH_EXAMPLES = sorted(path for path in APP.rglob("*.py") if ">>>" in path.read_text())


def module_of(path: Path) -> str:
    parts = path.relative_to(APP).with_suffix("").parts
    return ".".join(["tapedeck", *(part for part in parts if part != "__init__")])


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_of)
def test_the_doctests_of_a_module_pass(path: Path) -> None:
    outcome = doctest.testmod(importlib.import_module(module_of(path)), optionflags=doctest.ELLIPSIS)
    assert outcome.attempted
    assert not outcome.failed, "see the captured output"
