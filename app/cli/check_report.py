"""Show in a terminal what a check found: each leaf of each graph, its gradient beside the slope of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from msgspec import Struct
from rich import box
from rich.table import Table
from rich.text import Text

from .. import wire
from ..recording import Recording
from ..replays.answer import CheckedElement, CheckedLeaf, Verdict, checked_leaf, right

STYLES: Final[dict[Verdict, str]] = {
    "right": "green",
    "kink": "yellow",
    "wrong": "bold red",
    "unknown": "yellow",
    "defined": "green",
}


COARSE: Final = ("bfloat16", "float16")


class CheckedGraph(Struct, frozen=True):
    """What a check found of the first pass of a graph; ``reason`` is why it found nothing."""

    index: int
    graph: str
    line: int | None
    leaves: list[CheckedLeaf]
    precision: str
    own: str
    functions: list[str]
    reason: str | None = None


class Verdicts(Struct, frozen=True):
    """All that a check found. ``unseen`` graphs of passes were not looked at, because there were too many."""

    graphs: list[CheckedGraph]
    unseen: int

    def count(self, verdict: Verdict) -> int:
        """How many leaves have a verdict."""
        return sum(leaf.verdict == verdict for graph in self.graphs for leaf in graph.leaves)

    @property
    def right(self) -> bool | None:
        """Whether all that was looked at is right; ``None`` where none is wrong and something could not be judged."""
        judged = right({leaf.verdict for graph in self.graphs for leaf in graph.leaves})
        return None if judged and any(graph.reason is not None for graph in self.graphs) else judged


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
                    own=checked[0].own if checked else "",
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
        for leaf in graph.leaves:
            if leaf.definitions:
                names = ", ".join(leaf.definitions)
                yield Text(f"  {leaf.name or leaf.id}: by definition of {names}, the gradient is not the slope.", style="green")
        if graph.own in COARSE:
            yield Text(f"  The pass went through {graph.own}, and no gradient is known better than that.", style="dim")
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
        justify: Literal["left", "right"] = "right" if title in ("gradient", "slope", "checked") else "left"
        table.add_column(title, justify=justify, no_wrap=True, min_width=7 if title == "verdict" else None)
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
