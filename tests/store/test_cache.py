"""The cache of blocks counts what it keeps, also when several threads read the same blocks at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tapedeck.store import Store, log
from tapedeck.store.block import EventBlock
from tapedeck.store.log import BlockCache, BlockHeading

from ..handmade_events import fit
from .test_store import DONE, new


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[BlockCache]:
    store = Store(tmp_path)
    for number in range(20):
        store.write(new(id=f"{number:032x}"), fit(), 0, DONE)
    yield BlockCache(store._engine)
    store.close()


def at_once(count: int, work: Callable[[], Any]) -> list[Any]:
    """Call a function in several threads at once, and return the results and exceptions."""
    found: list[Any] = []
    start = threading.Barrier(count)

    def run() -> None:
        start.wait()
        try:
            found.append(work())
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def slow(monkeypatch: pytest.MonkeyPatch, decoded: list[bytes], error: Exception | None = None) -> None:
    class SlowBlock(EventBlock):
        def __init__(self, data: bytes) -> None:
            decoded.append(data)
            time.sleep(0.02)
            if error is not None:
                raise error
            super().__init__(data)

    monkeypatch.setattr(log, "EventBlock", SlowBlock)


def test_threads_that_ask_for_the_same_block_load_it_once_and_count_it_once(
    cache: BlockCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    slow(monkeypatch, decoded)
    sizes = 0
    for run in range(1, 21):
        (heading,) = cache.headings(run)
        blocks = at_once(8, lambda run=run, heading=heading: cache.block(run, heading))  # type: ignore[misc]
        assert len(set(map(id, blocks))) == 1
        sizes += blocks[0].size
    assert len(decoded) == 20
    assert cache.cached_bytes == sizes == sum(block.size for block in cache._blocks.values())
    assert not cache._loading


def test_a_cache_that_overflows_keeps_the_blocks_read_last(cache: BlockCache, monkeypatch: pytest.MonkeyPatch) -> None:
    (heading,) = cache.headings(1)
    block = cache.block(1, heading)
    assert block is not None
    monkeypatch.setattr(log, "CACHE_BYTES", 5 * block.size)
    for turn in range(3):
        for run in range(1, 21):
            at_once(4, lambda run=run: cache.block(run, cache.headings(run)[0]))  # type: ignore[misc]
            assert cache.cached_bytes == sum(block.size for block in cache._blocks.values()) <= 5 * block.size, turn
    assert [run for run, _, _ in cache._blocks] == [16, 17, 18, 19, 20]


@pytest.mark.parametrize(("largest", "loaded"), [(1, 1), (0, 3)])
def test_one_large_block_is_cached_beside_the_others(
    cache: BlockCache, monkeypatch: pytest.MonkeyPatch, largest: int, loaded: int
) -> None:
    sizes = [cache.block(run, cache.headings(run)[0]).size for run in (1, 2)]  # type: ignore[union-attr]
    decoded: list[bytes] = []
    slow(monkeypatch, decoded)
    monkeypatch.setattr(log, "CACHE_BYTES", max(sizes))  # every block is large
    monkeypatch.setattr(log, "LARGE_BLOCK_BYTES", largest * max(sizes))
    for _ in range(3):
        cache.block(3, cache.headings(3)[0])
        cache.block(1, cache.headings(1)[0])  # cached above
    assert len(decoded) == loaded
    assert 3 not in {run for run, _, _ in cache._blocks}


def test_a_block_that_cannot_be_read_fails_for_all_who_wait_and_is_read_again(
    cache: BlockCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    (heading,) = cache.headings(1)
    with monkeypatch.context() as patch:
        slow(patch, [], OSError("disk"))
        assert {str(error) for error in at_once(4, lambda: cache.block(1, heading))} == {"disk"}
    assert cache.cached_bytes == 0
    assert cache.block(1, heading) is not None


def test_a_block_of_a_deleted_run_is_not_cached(cache: BlockCache) -> None:
    missing = BlockHeading(0, 1, {}, {})
    assert at_once(4, lambda: cache.block(99, missing)) == [None] * 4
    assert (cache.cached_bytes, len(cache._blocks), len(cache._loading)) == (0, 0, 0)


def test_the_size_of_a_block_includes_its_graphs() -> None:
    block = EventBlock(log.pack_block(fit()))
    assert block.size > 2_000 + sum(len(group.skeleton) for group in block._block.groups)
