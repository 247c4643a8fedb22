"""Programs that train badly without an error are reported at their line, and similar correct programs are not."""

from __future__ import annotations

import pytest

from ..reported import codes
from . import silent_networks, silent_updates

MODULES = (silent_networks, silent_updates)
REPORTED = [
    pytest.param(code, text, id=f"{code}: {name}")
    for module in MODULES
    for code, texts in module.REPORTED.items()
    for name, text in texts.items()
]
CORRECT = [
    pytest.param(text, id=f"{code}: {name}")
    for module in MODULES
    for code, texts in module.CORRECT.items()
    for name, text in texts.items()
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("code", "text"), REPORTED)
def test_a_mistake_is_reported_at_its_line(code: str, text: str) -> None:
    line = next(number for number, each in enumerate(text.splitlines(), 1) if each.endswith("# here"))
    assert (code, line) in codes(text)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", CORRECT)
def test_a_similar_correct_program_is_not_reported(text: str) -> None:
    assert codes(text) == []
