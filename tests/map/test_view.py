"""Tests of the views of a map: what is open, and at which address."""

from __future__ import annotations

import numpy as np
import pytest
from tapedeck.map.extent import STUB, columns_of
from tapedeck.map.first_view import FIRST_COLUMNS, FIRST_ROWS, first_view
from tapedeck.map.view import MOST_BOXES, WHOLE_TURNS, View, read_view, reveal

from .recorded_trees import PROGRAMS, all_groups, tree_of


def ids(view: View) -> list[str]:
    return [box.id for box in view.boxes]


@pytest.mark.parametrize("name", PROGRAMS)
def test_boxes_divide_the_graph_in_every_view(name: str) -> None:
    tree = tree_of(name)
    chance = np.random.default_rng(0)
    groups = all_groups(tree)
    for size in (0, 1, 3, 30):
        chosen = [groups[index].id for index in chance.integers(0, len(groups), size)]
        view = read_view(tree, ",".join(chosen))
        assert not view.unknown
        assert [box.start for box in view.boxes] == [0, *(box.end for box in view.boxes)][:-1]
        assert view.boxes[-1].end == len(tree.order)
        assert len(view.boxes) <= MOST_BOXES


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_address_leads_back_to_its_view(name: str) -> None:
    tree = tree_of(name)
    for group in all_groups(tree):
        view = read_view(tree, group.id)
        again = read_view(tree, view.address)
        assert (ids(again), again.address) == (ids(view), view.address)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_first_view_fits_on_a_screen_and_has_an_address(name: str) -> None:
    tree = tree_of(name)
    view = first_view(tree)
    assert len(view.boxes) <= max(FIRST_ROWS, len(tree.children(tree.root)))
    assert columns_of(tree, view) <= max(FIRST_COLUMNS, columns_of(tree, read_view(tree, "")))
    assert ids(read_view(tree, view.address)) == ids(view)


@pytest.mark.parametrize(
    ("name", "address", "columns"),
    [
        ("nested loops", "", 1),
        ("several roots", "", 2),
        ("independent turns", "", 1),
        ("independent turns", "x:6", 5),
        ("transformer", "m:model", 1 + STUB),  # a stub of the shared weight is beside the box that uses it last
    ],
)
def test_boxes_and_frames_on_one_level_are_side_by_side(name: str, address: str, columns: float) -> None:
    tree = tree_of(name)
    assert columns_of(tree, read_view(tree, address)) == pytest.approx(columns)


def test_turns_that_would_be_side_by_side_stay_closed_at_first() -> None:
    tree = tree_of("independent turns")
    assert "x:6" not in first_view(tree).address
    assert len(tree.children(tree.root)) < FIRST_ROWS


def test_an_open_loop_with_many_turns_shows_the_first_and_the_last_or_the_requested_ones() -> None:
    tree = tree_of("recurrent")
    assert ids(read_view(tree, "x:8")) == ["x:8/0", "x:8/1-38", "x:8/39"]
    assert ids(read_view(tree, "x:8/20")) == ["x:8/0-19", "m:cell~21", "x:8/20/l:10", "x:8/21-39"]
    assert ids(read_view(tree, "x:8/1,x:8/2"))[0] == "x:8/0"
    assert len(read_view(tree_of("nested loops"), "x:5").boxes) == 5 <= WHOLE_TURNS


def test_unknown_ids_are_named_and_the_rest_opens() -> None:
    view = read_view(tree_of("recurrent"), "x:8/20,m:gone,é" + "x" * 300)
    assert view.unknown == ["m:gone", ("é" + "x" * 300)[:200]]
    assert view.address == "x:8/20"


def test_every_operation_can_be_revealed() -> None:
    tree = tree_of("transformer")
    view = first_view(tree)
    for node in tree.order.nodes.tolist():
        shown = reveal(tree, view, node)
        assert f"n{node}" in ids(shown)
        assert f"n{node}" in ids(read_view(tree, shown.address))
    with pytest.raises(KeyError):
        reveal(tree, view, 10**6)


def test_a_leaf_is_revealed_with_its_last_user() -> None:
    tree = tree_of("transformer")
    graph, view = tree.graph, read_view(tree, "")
    for leaf in [node for node in range(graph.count) if tree.order.position[node] < 0]:
        users = graph.source[(graph.target == leaf) | (graph.recorded_target == leaf)]
        last = users[tree.order.position[users].argmax()]
        assert f"n{last}" in ids(reveal(tree, view, leaf))


def test_groups_close_where_there_is_no_room() -> None:
    tree = tree_of("comprehension")
    everything = [group.id for group in all_groups(tree)]
    view = read_view(tree, ",".join(everything))
    assert len(view.boxes) <= MOST_BOXES
    assert everything[-1] in ids(view)
