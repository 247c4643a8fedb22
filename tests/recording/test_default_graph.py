"""The graph that is shown when none is named: the same for the page, the API and the command line."""

from __future__ import annotations

import msgspec
import pytest
from tapedeck import wire
from tapedeck.errors import NotFound
from tapedeck.recording import MemoryLog, Recording, default_graph
from tapedeck.recording.default_graph import PASSES_SEARCHED

from ..handmade_events import FIT, GRAPH, fit, pass_, step


def choose(events: list[wire.AnyEvent], **named: int) -> tuple[str, int] | None:
    chosen = default_graph(Recording(MemoryLog(events), FIT), **named)
    return None if chosen is None else (chosen.kind, chosen.index)


def without_graph(index: int) -> wire.PassEvent:
    return msgspec.structs.replace(pass_(index, 1.0), graph=-1)


def test_the_main_pass_of_the_last_step_is_shown() -> None:
    events = [GRAPH, pass_(0, 1.0), pass_(1, 1.0), msgspec.structs.replace(step(0, 1.0, 1.0), main=0)]
    assert choose([*events]) == ("pass", 0)
    assert choose(fit(5)) == ("pass", 4)


def test_the_last_pass_with_a_graph_is_shown_if_no_step_ended() -> None:
    assert choose([GRAPH, pass_(0, 1.0), pass_(1, 1.0), without_graph(2)]) == ("pass", 1)


def test_only_the_last_passes_are_searched() -> None:
    later = [without_graph(index) for index in range(1, PASSES_SEARCHED + 1)]
    assert choose([GRAPH, pass_(0, 1.0), *later[:-1]]) == ("pass", 0)
    assert choose([GRAPH, pass_(0, 1.0), *later]) == ("graph", 0)


def test_the_last_graph_is_shown_if_there_is_no_pass() -> None:
    assert choose([GRAPH, msgspec.structs.replace(GRAPH, index=1)]) == ("graph", 1)


def test_nothing_is_shown_without_a_graph() -> None:
    assert choose([]) is None
    assert choose([without_graph(0)]) is None


def test_the_main_pass_of_a_named_step_is_shown() -> None:
    assert choose(fit(5), step=2) == ("pass", 2)
    with pytest.raises(NotFound, match="the last is 4"):
        choose(fit(5), step=5)


def test_the_graph_of_a_named_line_is_shown() -> None:
    assert choose(fit(), line=7) == ("graph", 0)
    assert choose(fit(), line=13) is None
