"""Print the result of ``tapedeck check``: each leaf of each graph, with its gradient and the slope of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct
from rich import box
from rich.table import Table
from rich.text import Text

from .. import wire
from ..recording import Recording
from ..replays.result import CheckedElement, CheckedLeaf, Verdict, all_right, checked_leaf

STYLES: Final[dict[Verdict, str]] = {
    "right": "green",
    "kink": "yellow",
    "wrong": "bold red",
    "unknown": "yellow",
    "defined": "green",
}
COARSE: Final = ("bfloat16", "float16")


class CheckedGraph(Struct, frozen=True):
    """The check of the first pass over a graph. ``index`` is the index of the pass.

    ``precision`` is the dtype of the finite differences, ``own`` the coarsest dtype in the pass itself. ``functions`` names
    the custom ``autograd.Function`` classes in the pass. ``reason`` explains why the pass was not checked.
    """

    index: int
    graph: str
    line: int | None
    leaves: list[CheckedLeaf]
    precision: str
    own: str
    functions: list[str]
    reason: str | None = None


class CheckSummary(Struct, frozen=True):
    """The result of a check. ``unseen`` is the number of graphs that were skipped because there were too many."""

    graphs: list[CheckedGraph]
    unseen: int

    def count(self, verdict: Verdict) -> int:
        """Return the number of leaves with a verdict."""
        return sum(leaf.verdict == verdict for graph in self.graphs for leaf in graph.leaves)

    @property
    def right(self) -> bool | None:
        """True if all gradients are right, ``None`` if none is wrong but some could not be judged."""
        judged = all_right({leaf.verdict for graph in self.graphs for leaf in graph.leaves})
        return None if judged and any(graph.reason is not None for graph in self.graphs) else judged


def read(recording: Recording) -> CheckSummary:
    """Return the result of the check in a recording."""
    by_pass: dict[int, list[wire.Checked | wire.Refused]] = {}
    for event in recording.log.others():
        if isinstance(event, wire.Checked | wire.Refused):
            by_pass.setdefault(event.index, []).append(event)
    graphs = []
    passes = recording.log.counts()[1]
    for index, events in by_pass.items():
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
    return CheckSummary(graphs, len(ran) - len(graphs))


def report(found: CheckSummary, name: str) -> Iterator[Text | Table]:
    """Yield the lines of the report about a check of the file ``name``."""
    for graph in found.graphs:
        where = f", line {graph.line}" if graph.line else ""
        yield Text(f"{graph.graph}, pass {graph.index}{where}", style="bold")
        if graph.reason is not None:
            yield Text(f"  not checked: {graph.reason}", style="yellow")
            continue
        yield _table(graph)
        if any(leaf.verdict == "wrong" for leaf in graph.leaves) and graph.functions:
            names = ", ".join(graph.functions)
            yield Text(f"  This pass uses a backward() that the program defines: {names}.", style="yellow")
        for leaf in graph.leaves:
            if leaf.definitions:
                names = ", ".join(leaf.definitions)
                yield Text(
                    f"  {leaf.name or leaf.id}: PyTorch defines a gradient that differs from the slope for {names}.",
                    style="green",
                )
        if graph.own in COARSE:
            yield Text(f"  This pass computes in {graph.own}, so its gradients have only this precision.", style="dim")
        if graph.precision not in ("float64", ""):
            yield Text(f"  The differences were computed in {graph.precision}, which shows only large errors.", style="yellow")
    yield Text(summary(found, name), style="dim")


def summary(found: CheckSummary, name: str) -> str:
    """Return a sentence that sums up the check of the file ``name``.

    >>> summary(CheckSummary([], 0), "fit.py")
    'fit.py: there was no backward pass to check.'
    """
    if not found.graphs:
        return f"{name}: there was no backward pass to check."
    counts = [f"{count} {verdict}" for verdict in STYLES if (count := found.count(verdict))]
    leaves = sum(len(graph.leaves) for graph in found.graphs)
    graphs = f"{len(found.graphs)} graph{'s' if len(found.graphs) != 1 else ''}"
    skipped = f" {found.unseen} more graphs were not checked." if found.unseen else ""
    verdicts = ", ".join(counts) or "none was checked"
    return f"{name}: {leaves} {'leaf' if leaves == 1 else 'leaves'} of {graphs}: {verdicts}.{skipped}"


def _table(graph: CheckedGraph) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    for title in ("  leaf", "shape", "checked", "at", "gradient", "slope", "verdict"):
        justify: Literal["left", "right"] = "right" if title in ("gradient", "slope", "checked") else "left"
        table.add_column(title, justify=justify, no_wrap=True, min_width=7 if title == "verdict" else None)
    for leaf in graph.leaves:
        worst = worst_element(leaf)
        index = "" if worst is None or not leaf.shape else f"[{', '.join(map(str, worst.element))}]"
        numbers = ("", "") if worst is None else (_number(worst.recorded), _slope(worst))
        table.add_row(
            f"  {leaf.name or leaf.id}",
            str(leaf.shape),
            f"{leaf.checked} of {leaf.of}",
            index + (f" {worst.part}" if worst is not None and worst.part else ""),
            *numbers,
            Text(leaf.verdict, style=STYLES[leaf.verdict]),
        )
    return table


def worst_element(leaf: CheckedLeaf) -> CheckedElement | None:
    """Return the element whose gradient differs most from the slope, among those with the leaf's verdict."""

    def difference(element: CheckedElement) -> float:
        """Return the difference in units of the tolerance."""
        numbers = (element.recorded, element.computed, element.tolerance)
        if any(isinstance(number, str) for number in numbers):
            return float("inf")
        recorded, computed, tolerance = map(float, numbers)
        return abs(recorded - computed) / tolerance if tolerance else 0.0

    return max((element for element in leaf.elements if element.verdict == leaf.verdict), key=difference, default=None)


def _slope(element: CheckedElement) -> str:
    if element.verdict == "kink":
        return f"{_number(element.left)} | {_number(element.right)}"
    return _number(element.computed)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
