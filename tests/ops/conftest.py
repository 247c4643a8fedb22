"""Count the comparisons of the sweep over PyTorch's operators, and print a summary at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from .exclusions import REFUSED, UNREPEATABLE


@dataclass
class Tally:
    """The number of comparisons over all operators that ran."""

    operators: int = 0
    calls: int = 0
    nodes: int = 0
    gradients: int = 0
    refused: set[str] = field(default_factory=set)
    unrepeatable: set[str] = field(default_factory=set)


_TALLY = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Tally:
    return pytestconfig.stash.setdefault(_TALLY, Tally())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(_TALLY, None)
    if found is None:
        return
    terminalreporter.section("PyTorch's operators, recorded and unrecorded")
    terminalreporter.line(
        f"{found.operators} operators, {found.calls} calls: {found.nodes} nodes matched to PyTorch's own, "
        f"{found.gradients} gradients equal to those of an independent observer"
    )
    for what, names, reasons in (
        ("refused by PyTorch", found.refused, REFUSED), ("not repeatable", found.unrepeatable, UNREPEATABLE),
    ):  # fmt: skip
        for name in sorted(names):
            terminalreporter.line(f"{what}: {name} ({reasons.get(name, 'not listed')})")
