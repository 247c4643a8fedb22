"""Layouts are kept on the disk: found again by another process, limited in size, and never trusted if they are damaged."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from tapedeck.drawing.engine import LayoutEngine
from tapedeck.drawing.graph_layout import GraphLayout
from tapedeck.drawing.layout_files import LayoutFiles
from tapedeck.drawing.plan import plan

from .handmade import chain, seed

PLAN = plan(seed().graph(0))
EMPTY = GraphLayout(1.0, 2.0, [], [])


def laid_out(engine: LayoutEngine) -> GraphLayout:
    return asyncio.run(engine.layout(PLAN))


def test_a_layout_is_computed_once_even_if_the_server_is_restarted(tmp_path: Path) -> None:
    first, second = (LayoutEngine(files=LayoutFiles(tmp_path / "layouts")) for _ in range(2))
    assert laid_out(first) == laid_out(second)
    assert (first.attempts, second.attempts) == (1, 0)
    newer = LayoutEngine(files=LayoutFiles(tmp_path / "layouts", "another version of the program"))
    assert laid_out(newer) == laid_out(first)
    assert newer.attempts == 1


@pytest.mark.parametrize("damage", [b"", b"x", None, b"\x78\x01" + bytes(40)])
def test_a_damaged_layout_is_computed_again(tmp_path: Path, damage: bytes | None) -> None:
    laid_out(LayoutEngine(files=LayoutFiles(tmp_path)))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-9] if damage is None else damage)
    again = LayoutEngine(files=LayoutFiles(tmp_path))
    assert laid_out(again).boxes
    assert again.attempts == 1
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [whole]


def test_layouts_are_read_and_written_outside_of_the_event_loop(tmp_path: Path) -> None:
    threads = []

    class Watched(LayoutFiles):
        def read(self, key: bytes) -> GraphLayout | None:
            threads.append(threading.current_thread())
            return super().read(key)

        def write(self, key: bytes, layout: GraphLayout) -> None:
            threads.append(threading.current_thread())
            super().write(key, layout)

    laid_out(LayoutEngine(files=Watched(tmp_path)))
    assert len(threads) == 2
    assert threading.main_thread() not in threads


def test_the_layouts_used_last_are_kept(tmp_path: Path) -> None:
    layout = asyncio.run(LayoutEngine().layout(plan(chain(9).recording().graph(0))))
    files = LayoutFiles(tmp_path)
    for key in range(4):
        files.write(bytes([key]), layout)
        os.utime(files._path(bytes([key])), (key, key))
    one = files._path(b"\0").stat().st_size
    files.read(b"\0")  # its time is that of its last use
    LayoutFiles(tmp_path, most_bytes=3 * one + one // 2).write(b"\4", EMPTY)
    assert [files.read(bytes([key])) is not None for key in range(5)] == [True, False, True, True, True]


def test_several_processes_may_write_the_same_layout(tmp_path: Path) -> None:
    sharers = [LayoutFiles(tmp_path, most_bytes=2_000, checked=1) for _ in range(8)]

    def work(files: LayoutFiles) -> None:
        for turn in range(40):
            files.write(bytes([turn % 5]), EMPTY)
            assert files.read(bytes([turn % 5])) in (EMPTY, None)

    failed: list[BaseException] = []

    def guarded(files: LayoutFiles) -> None:
        try:
            work(files)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(each,)) for each in sharers]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2_500


def test_a_folder_that_cannot_be_written_keeps_nothing_and_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    blocked = LayoutEngine(files=LayoutFiles(tmp_path / "file" / "layouts"))
    assert laid_out(blocked).boxes
