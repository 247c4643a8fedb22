"""When a recording is freed, its graphs are dropped from the cache, because nothing can read them any more."""

from __future__ import annotations

import gc

from tapedeck.recording import MemoryLog, Recording, graph_reader

from ..handmade_events import FIT, fit


def read() -> Recording:
    recording = Recording(MemoryLog(fit(2)), FIT)
    recording.graph(0)
    return recording


def cached() -> int:
    gc.collect()
    read()  # the next reader drops the graphs of freed readers
    return len(graph_reader._structures)


def test_a_freed_recording_leaves_no_graph_in_the_cache() -> None:
    before = cached()
    for _ in range(20):
        read()
    assert cached() == before


def test_the_graphs_of_other_recordings_stay() -> None:
    kept = read()
    before = kept.graph(0)
    for _ in range(5):
        read()
    assert kept.graph(0) is before
