"""Tests of the picture of a map as rows."""

from __future__ import annotations

import asyncio
import math
import xml.etree.ElementTree as ET
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tapedeck.drawing import picture
from tapedeck.drawing.lanes import MOST_LANES, buses
from tapedeck.errors import InvalidInput
from tapedeck.map.read import LONGEST_SERIES, per_turn, read_map
from tapedeck.model import GraphMap
from tapedeck.recording import Recording

from ..map.recorded_trees import PROGRAMS, START
from ..tracer.run_twice import record
from .handmade import chain

NS = "{http://www.w3.org/2000/svg}"


@cache
def recording_of(name: str) -> Recording:
    return record(START + PROGRAMS[name])[1]


def drawn(recording: Recording, **options: str | None) -> ET.Element:
    look = {"layout": "rows", **options}
    return ET.fromstring(asyncio.run(picture.render(recording, 0, "svg", **look)))  # type: ignore[arg-type]


def groups(root: ET.Element, name: str) -> list[ET.Element]:
    return [group for group in root.iter(f"{NS}g") if name in (group.get("class") or "").split()]


def tops(root: ET.Element) -> list[float]:
    return [float((group.get("transform") or "").partition(" ")[2].rstrip(")")) for group in groups(root, "box")]


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_box_is_a_row_with_its_view_and_every_edge_is_drawn(name: str) -> None:
    shown = read_map(recording_of(name), 0, 0)
    root = drawn(recording_of(name), view=shown.view)
    assert [group.get("data-group") for group in groups(root, "box")] == [box.id for box in shown.boxes]
    assert [group.get("data-view") for group in groups(root, "box")] == [box.view for box in shown.boxes]
    assert all(below - above >= 28 for above, below in pairwise(tops(root)))
    assert {frame.get("data-group") for frame in groups(root, "frame")} == {frame.id for frame in shown.frames}
    edges = {(edge.get("data-source"), edge.get("data-target")) for edge in groups(root, "link")}
    assert edges == {(edge.source, edge.target) for edge in shown.edges}


def opened(shown: GraphMap, recording: Recording) -> None:
    for box in shown.boxes:
        if box.view is not None:
            inside = read_map(recording, 0, 0, box.view)
            assert (inside.view, inside.unknown) == (box.view, [])
            assert len(inside.boxes) >= len(shown.boxes)
    for frame in shown.frames:
        closed = read_map(recording, 0, 0, frame.view)
        assert frame.id not in [each.id for each in closed.frames]
        assert {each.id for each in closed.frames} <= {each.id for each in shown.frames}


@pytest.mark.parametrize("name", ["transformer", "recurrent", "nested loops", "straight lines"])
def test_the_view_of_a_box_opens_it_and_that_of_a_frame_closes_it(name: str) -> None:
    recording = recording_of(name)
    for view in (None, "x:8/20", "m:model.h.3.mlp"):
        opened(read_map(recording, 0, 0, view), recording)


def test_a_graph_that_is_too_large_is_drawn_as_a_map() -> None:
    root = drawn(chain(2_000).recording())
    assert root.get("aria-label") == "Map of a backward graph of 2,001 nodes"
    assert "map" in (root.get("class") or "").split()
    assert len(groups(root, "box")) <= 36


def test_a_small_graph_is_a_map_where_a_view_is_requested() -> None:
    assert "map" not in (drawn(recording_of("nested loops"), layout="nodes").get("class") or "").split()
    root = drawn(recording_of("nested loops"), view="", theme="dark")
    assert [group.get("data-group") for group in groups(root, "box")] == ["n0", "x:5"]
    revealed = drawn(recording_of("nested loops"), reveal="n3")
    assert "n3" in [group.get("data-node") for group in groups(revealed, "box")]


@pytest.mark.parametrize("node", ["n9999", "n-1", "x", "n", "n26", "n²"])
def test_a_node_that_the_graph_does_not_have_cannot_be_revealed(node: str) -> None:
    with pytest.raises(InvalidInput, match="has no node"):
        read_map(recording_of("nested loops"), 0, 0, None, node)


def test_a_leaf_is_revealed_with_the_operation_that_uses_it() -> None:
    shown = read_map(recording_of("nested loops"), 0, 0, "", "n25")
    assert [box.kind for box in shown.boxes][-1] == "op"
    assert shown.boxes[-1].node == "n24"


def test_a_loop_has_a_bar_for_each_turn_and_shows_how_fast_the_gradient_grows() -> None:
    root = drawn(recording_of("nested loops"), view="")
    texts = ["".join(text.itertext()) for text in root.iter(f"{NS}text")]
    assert "× 4, 2 kinds, 24 nodes" in texts
    assert "x 5.926e−3 … 0.326, ÷ 7.41 per turn" in texts


def test_the_series_of_a_long_loop_is_thinned_and_keeps_its_extremes() -> None:
    program = START + "for n in range(2_000):\n    x = x * (3 if n == 1_500 else 1)\nx.sum().backward()\n"
    _, recording = record(program)
    loop = next(box for box in read_map(recording, 0, 0, "").boxes if box.turns == 2_000)
    series = loop.series[0]
    assert len(series.norms) == LONGEST_SERIES
    assert series.greatest == max(float(norm) for norm in series.norms if norm is not None)
    assert float(series.greatest or 0) / float(series.least or 1) == pytest.approx(3)


def test_the_factor_per_turn_is_fitted() -> None:
    import numpy as np

    norms = np.array([10.0**-turn for turn in range(48)][::-1])
    assert per_turn(norms) == pytest.approx(0.1)
    assert per_turn(np.append([0.0, math.nan], norms)) == pytest.approx(0.1)
    assert per_turn(np.array([0.0, 0.0])) is None


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), max_size=120))
def test_buses_in_one_lane_do_not_overlap(pairs: list[tuple[int, int]]) -> None:
    edges = list({(source, source + span) for source, span in pairs})
    found = buses(edges, {edge: float(edge[1]) for edge in edges})
    assert {(source, bus.target) for bus in found for source in bus.sources} == set(edges)
    assert all(bus.lane < MOST_LANES for bus in found)
    for index, bus in enumerate(found):
        for other in found[:index]:
            assert bus.lane < 0 or bus.lane != other.lane or bus.last < other.first or other.last < bus.first


def test_a_picture_contains_when_each_box_ran_and_which_group_is_around_it() -> None:
    root = drawn(recording_of("transformer"), view="m:model.h.3")
    shown = read_map(recording_of("transformer"), 0, 0, "m:model.h.3")
    boxes = {group.get("data-group"): group for group in groups(root, "box")}
    frames = {group.get("data-group"): group for group in groups(root, "frame")}
    for box in shown.boxes:
        drawn_box = boxes[box.id]
        assert drawn_box.get("data-frame") == box.frame
        assert box.ran is not None
        assert (drawn_box.get("data-first"), drawn_box.get("data-last")) == tuple(map(str, box.ran))
    for frame in shown.frames:
        assert frames[frame.id].get("data-frame") == frame.parent
