"""Show in a terminal what a check found: each leaf of each graph, its gradient beside the slope of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct
from rich import box
from rich.table import Table
from rich.text import Text

from . import wire
from .recording import Recording
from .replays.answer import CheckedElement, CheckedLeaf, Verdict, checked_leaf

STYLES: Final[dict[Verdict, str]] = {"right": "green", "kink": "yellow", "wrong": "bold red", "unknown": "yellow"}


class CheckedGraph(Struct, frozen=True):
    """What a check found of the first pass of a graph; ``reason`` is why it found nothing."""

    index: int
    graph: str
    line: int | None
    leaves: list[CheckedLeaf]
    precision: str
    functions: list[str]
    reason: str | None = None


class Verdicts(Struct, frozen=True):
    """All that a check found. ``unseen`` graphs of passes were not looked at, because there were too many."""

    graphs: list[CheckedGraph]
    unseen: int

    def count(self, verdict: Verdict) -> int:
        """How many leaves have a verdict."""
        return sum(leaf.verdict == verdict for graph in self.graphs for leaf in graph.leaves)


def read(recording: Recording) -> Verdicts:
    """What a recording holds of a check."""
    found: dict[int, list[wire.Checked | wire.Refused]] = {}
    for event in recording.log.others():
        if isinstance(event, wire.Checked | wire.Refused):
            found.setdefault(event.index, []).append(event)
    graphs = []
    passes = recording.log.counts()[1]
    for index, events in found.items():
        if index < passes:
            checked = [event for event in events if isinstance(event, wire.Checked)]
            event = recording.log.pass_(index)
            graphs.append(
                CheckedGraph(
                    index=index,
                    graph=f"g{event.graph}",
                    line=event.line if event.line > 0 else None,
                    leaves=[checked_leaf(recording, each) for each in checked],
                    precision=checked[0].precision if checked else "",
                    functions=list(checked[0].functions) if checked else [],
                    reason=next((each.reason for each in events if isinstance(each, wire.Refused)), None),
                )
            )
    ran = {recording.log.pass_(index).graph for index in range(passes)} - {-1}
    return Verdicts(graphs, len(ran) - len(graphs))


def told(verdicts: Verdicts, name: str) -> Iterator[Any]:
    """What to print; ``name`` is the file's."""
    for graph in verdicts.graphs:
        where = f", line {graph.line}" if graph.line else ""
        yield Text(f"{graph.graph}, pass {graph.index}{where}", style="bold")
        if graph.reason is not None:
            yield Text(f"  not checked: {graph.reason}", style="yellow")
            continue
        yield _table(graph)
        if any(leaf.verdict == "wrong" for leaf in graph.leaves) and graph.functions:
            yield Text(f"  It goes through a backward of the program's own: {', '.join(graph.functions)}.", style="yellow")
        if graph.precision not in ("float64", ""):
            yield Text(f"  The differences were computed in {graph.precision}: that sees large mistakes only.", style="yellow")
    yield Text(summary(verdicts, name), style="dim")


def summary(verdicts: Verdicts, name: str) -> str:
    """One sentence about all of it.

    >>> summary(Verdicts([], 0), "fit.py")
    'fit.py: there was no backward pass to check.'
    """
    if not verdicts.graphs:
        return f"{name}: there was no backward pass to check."
    counts = [f"{count} {verdict}" for verdict in STYLES if (count := verdicts.count(verdict))]
    told = ", ".join(counts) or "none was checked"
    leaves = sum(len(graph.leaves) for graph in verdicts.graphs)
    graphs = f"{len(verdicts.graphs)} graph{'s' if len(verdicts.graphs) != 1 else ''}"
    rest = f" {verdicts.unseen} further graphs were not checked." if verdicts.unseen else ""
    return f"{name}: {leaves} {'leaf' if leaves == 1 else 'leaves'} of {graphs}: {told}.{rest}"


def _table(graph: CheckedGraph) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for title in ("  leaf", "shape", "checked", "at", "gradient", "slope", "verdict"):
        table.add_column(title, justify="right" if title in ("gradient", "slope", "checked") else "left", no_wrap=True)
    for leaf in graph.leaves:
        at = _worst(leaf)
        place = "" if at is None or not leaf.shape else f"[{', '.join(map(str, at.element))}]"
        numbers = ("", "") if at is None else (_number(at.recorded), _slope(at))
        table.add_row(
            f"  {leaf.name or leaf.id}",
            str(leaf.shape),
            f"{leaf.checked} of {leaf.of}",
            place + (f" {at.part}" if at is not None and at.part else ""),
            *numbers,
            Text(leaf.verdict, style=STYLES[leaf.verdict]),
        )
    return table


def _worst(leaf: CheckedLeaf) -> CheckedElement | None:
    """The element that the leaf's verdict is about: of those, the one that is furthest off."""

    def off(element: CheckedElement) -> float:
        numbers = (element.recorded, element.computed, element.tolerance)
        if any(isinstance(number, str) for number in numbers):
            return float("inf")
        recorded, computed, tolerance = map(float, numbers)
        return abs(recorded - computed) / tolerance if tolerance else 0.0

    return max((element for element in leaf.elements if element.verdict == leaf.verdict), key=off, default=None)


def _slope(element: CheckedElement) -> str:
    if element.verdict == "kink":
        return f"{_number(element.left)} | {_number(element.right)}"
    return _number(element.computed)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
