"""Collect the data of a run's HTML file: the answers of the API that its page would request."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from ... import model
from ...drawing.plan import BOXES
from ...errors import InvalidInput
from ...map.read import read_numbers
from ...recording import Recording, lists, usual_keys
from ...runs.run import RecordedRun
from ..columns import packed_steps, series

STEPS_BYTES: Final = 6 * 1024 * 1024
"""Size in bytes of the packed steps after which no more are added to a file. Compressed, they take about half of it."""
MOST_STEPS: Final = 5_000
DETAILED_NODES: Final = 2_000
"""Largest number of nodes in a graph whose nodes have details. In a larger graph, reading one node takes milliseconds."""
WHOLE_CURVES: Final = 6_000
"""Number of steps above which curves are thinned out, as on the page (``core/curves.js``)."""
MOST_NODES: Final = 40_000
"""Largest number of nodes, summed over passes, whose numbers are compared to find the passes that share a picture."""
DETAILS_BYTES: Final = 4 * 1024 * 1024
"""Size in bytes of the details of nodes after which no more are added.

The inspector shows further nodes without their saved tensors.
"""
DETAILS_SECONDS: Final = 4.0
"""Processor time in seconds for the details of nodes. A usual recording needs a tenth of it."""
MOST_PICTURES: Final = 40
MOST_DISPLAYED: Final = 20
"""Largest number of graphs of displayed tensors in a file."""

_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode


class Contents(Struct, frozen=True):
    """The parts of a recording that a file has, encoded as the API sends them.

    ``steps`` are packed steps in order. ``drawn`` maps each pass or graph, such as ``passes/0`` or ``graphs/g1``, to
    the one whose picture it shows, which may be itself.
    """

    count: int
    """Number of complete steps."""
    unfinished: bytes | None
    steps: list[bytes]
    series: bytes
    graphs: dict[str, bytes]
    passes: dict[str, list[tuple[int, int]]]
    """By graph, its passes in order, each with its step."""
    details: dict[str, dict[str, bytes]]
    drawn: dict[str, str]


def contents(recorded: RecordedRun, shown: int | None) -> Contents:
    """Read the parts of a run that fit into a file. ``shown`` is the index of the pass at which it opens."""
    recording = recorded.recording
    steps = list(_packed_steps(recording))
    count = 0 if not steps else 1 + max(step.index for each in steps for span in each.spans for step in span.steps)
    whole = count == recording.log.counts()[2]
    unfinished = recorded.step(count) if whole and recorded.unfinished else None
    known = sorted([*_own_passes(unfinished), *(own for each in steps for span in each.spans for own in _passes(span))])
    if shown is not None and all(index != shown for index, _, _ in known):
        known.append((shown, 0, recording.pass_(shown, numbers=False).graph))
    by_graph: dict[str, list[tuple[int, int]]] = {}
    for own_index, step, graph in known:
        if graph:
            by_graph.setdefault(graph, []).append((own_index, step))
    displayed = dict.fromkeys(line.graph for line in recording.lines() if line.graph is not None and line.graph not in by_graph)
    graphs = [*by_graph, *list(displayed)[:MOST_DISPLAYED]]
    return Contents(
        count=count,
        unfinished=None if unfinished is None else _encode(unfinished),
        steps=[_pack(each) for each in steps],
        series=_series(recording, count),
        graphs={graph: _encode(lists.graph(recording, int(graph[1:]))) for graph in graphs},
        passes=by_graph,
        details=_details(recording, by_graph),
        drawn=_shared_pictures(recording, by_graph, shown)
        | {f"graphs/{graph}": f"graphs/{graph}" for graph in graphs if graph not in by_graph},
    )


def _packed_steps(recording: Recording) -> Iterable[packed_steps.PackedSteps]:
    """Yield the first steps, as many as fit."""
    start, size = 0, 0
    available = min(recording.log.counts()[2], MOST_STEPS)
    while start < available and size < STEPS_BYTES:
        found = packed_steps.packed(recording, start, min(256, available - start))
        yield msgspec.structs.replace(found, next=None if found.next is None or found.next >= available else found.next)
        size += len(_pack(found))
        start = available if found.next is None else found.next


def _passes(span: packed_steps.StepSpan) -> list[tuple[int, int, str]]:
    """Return the index, the step and the graph of each pass of a span."""
    return [(index, step.index, own.graph) for step in span.steps for index, own in zip(step.passes, span.passes, strict=True)]


def _own_passes(step: model.Step | None) -> list[tuple[int, int, str]]:
    return [] if step is None else [(each.index, step.index, each.graph) for each in step.passes]


def _series(recording: Recording, count: int) -> bytes:
    """Return the curves that the page draws, packed as msgpack."""
    points = series.MOST_POINTS if count <= WHOLE_CURVES else WHOLE_CURVES
    keys = usual_keys([each.shape for each in recording.parameters()])
    found = _read_series(recording, keys, count, points)
    # autograd.grad() fills no .grad: the page then draws what the passes contributed
    empty = [key for key, column in found.series.items() if ".grad" in key and len(column.gaps) == found.index.shape[1]]
    given = _read_series(recording, [key.replace(".grad", ".contribution") for key in empty], count, points) if empty else None
    return _pack(found if given is None else msgspec.structs.replace(found, series=found.series | given.series))


def _read_series(recording: Recording, keys: list[str], count: int, points: int) -> series.PackedSeries:
    """Return the series of those keys that the recording has, and of fewer if they are too many for one answer."""
    while True:
        try:
            return series.packed(recording, keys, 0, count, points)
        except InvalidInput as error:
            shorter = [key for key in keys if repr(key) not in str(error)]
            keys = shorter if len(shorter) < len(keys) else keys[: len(keys) // 2]


def _details(recording: Recording, by_graph: Mapping[str, list[tuple[int, int]]]) -> dict[str, dict[str, bytes]]:
    """Return the details of the nodes of the first passes, as many as fit."""
    size, end = 0, time.thread_time() + DETAILS_SECONDS
    found: dict[str, dict[str, bytes]] = {}
    for graph, passes in by_graph.items():
        count = recording.log.graph_sizes()[int(graph[1:])][0]
        for index, _ in passes if count <= DETAILED_NODES else ():
            own = found[str(index)] = {}
            for detail in lists.node_details(recording, index, 0, count):
                if size > DETAILS_BYTES or time.thread_time() > end:
                    return found
                own[detail.node.id] = _encode(detail)
                size += len(own[detail.node.id])
    return found


def _shared_pictures(recording: Recording, by_graph: Mapping[str, list[tuple[int, int]]], shown: int | None) -> dict[str, str]:
    """Return, for each pass, the name of the pass whose picture it shows. Passes whose pictures have the same form share one.

    All passes over a map share one picture, because the numbers of a map are fetched separately. A shared picture is that of
    the pass shown first, or else of the first pass.
    """
    drawn: dict[str, str] = {}
    left = MOST_NODES
    for graph, passes in by_graph.items():
        count = recording.log.graph_sizes()[int(graph[1:])][0]
        owners: dict[object, str] = {}
        first = next((index for index, _ in passes if index == shown), passes[0][0])
        for index in dict.fromkeys([first, *(index for index, _ in passes)]):
            known = count <= min(left, BOXES) and recording.fits_one_answer(recording.log.pass_(index))
            left -= count if known else 0
            form = picture_form(recording.pass_(index)) if known else None
            if form not in owners and len(set(drawn.values())) >= MOST_PICTURES:
                form = next(iter(owners), None)
            drawn[f"passes/{index}"] = owners.setdefault(form, f"passes/{index}")
    return drawn


def picture_form(found: model.Pass) -> object:
    """Return a key for the layout of a pass's picture, as ``form`` in ``core/scene.js`` does."""
    nodes = found.nodes or {}
    return (
        found.kind == "grad",
        found.failed,
        tuple(sorted(found.order)),
        tuple(
            (
                None if numbers.value is None else (numbers.value.dtype, tuple(numbers.value.shape)),
                len(numbers.grads),
                any(
                    each.used is not None and each.arrived is not None and each.used.norm != each.arrived.norm
                    for each in numbers.grads
                ),
            )
            for numbers in nodes.values()
        ),
        tuple(gradient is not None for gradient in (found.edges or {}).values()),
    )


def map_numbers(recording: Recording, graph: str, view: str, passes: list[tuple[int, int]]) -> bytes:
    """Return the numbers of a map in the passes of a file, for as many passes as fit into one answer."""
    return _encode(read_numbers(recording, int(graph[1:]), view, passes[0][0], len(passes)))


def archive(parts: Mapping[str, Any]) -> bytes:
    """Return the parts as compressed msgpack, which the file's script unpacks."""
    return gzip.compress(_pack(parts), 9, mtime=0)
