"""The layout engine finds, limits and kills its program, and lays each structure out once."""

from __future__ import annotations

import asyncio
import math
import os
import stat
import time
from pathlib import Path

import pytest
from tapedeck.drawing import graph_layout, program
from tapedeck.drawing.engine import LayoutEngine
from tapedeck.drawing.graph_layout import GraphLayout
from tapedeck.drawing.plan import LayoutPlan, plan
from tapedeck.drawing.style import Direction
from tapedeck.errors import DrawingError
from tapedeck.wire import LEAF

from .handmade import chain, seed, unrolled

pytestmark = pytest.mark.anyio
PLAN = plan(seed().graph(0))


def script(folder: Path, text: str) -> str:
    """Write a script to be run in place of ``dot``, and return its path."""
    path = folder / "dot"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def check(layout: GraphLayout) -> None:
    """Assert that boxes are inside the picture and do not overlap, and that edges end at their target's border."""
    placed = {each.box.key: each for each in layout.boxes}
    for each in layout.boxes:
        assert each.x >= -0.2
        assert each.x + each.box.width <= layout.width + 0.2
        assert each.y >= -0.2
        assert each.y + each.box.height <= layout.height + 0.2
    for index, one in enumerate(layout.boxes):
        for other in layout.boxes[index + 1 :]:
            apart = (
                one.x + one.box.width <= other.x + 1
                or other.x + other.box.width <= one.x + 1
                or one.y + one.box.height <= other.y + 1
                or other.y + other.box.height <= one.y + 1
            )
            assert apart, (one, other)
    for route in layout.routes:
        box = placed[route.link.target]
        x, y = route.tip
        assert box.x - 1.5 <= x <= box.x + box.box.width + 1.5
        assert box.y - 1.5 <= y <= box.y + box.box.height + 1.5
        assert route.length > 0


@pytest.mark.parametrize("direction", ["TB", "BT", "LR"])
async def test_boxes_do_not_overlap_and_edges_end_at_them(direction: Direction) -> None:
    for recording in (seed(), unrolled(6).recording(), chain(12).recording()):
        check(await LayoutEngine().layout(plan(recording.graph(0), direction)))


async def test_the_direction_determines_on_which_side_the_root_is() -> None:
    graph = seed().graph(0)
    root, leaf = {}, {}
    for direction in ("TB", "BT", "LR"):
        layout = await LayoutEngine().layout(plan(graph, direction))
        placed = {each.box.key: each for each in layout.boxes}
        root[direction], leaf[direction] = placed["n0"], placed["n4"]
    assert root["TB"].y < leaf["TB"].y
    assert root["BT"].y > leaf["BT"].y
    assert root["LR"].x < leaf["LR"].x


async def test_an_arrow_in_a_straight_chain_points_straight_down() -> None:
    layout = await LayoutEngine().layout(plan(chain(3).recording().graph(0)))
    assert all(route.arrival.endswith("rotate(90)") for route in layout.routes)
    label = layout.routes[0].label
    assert label is not None
    assert label[0] >= layout.routes[0].tip[0]


async def test_simultaneous_requests_share_one_layout() -> None:
    shared = LayoutEngine()
    layouts = await asyncio.gather(*(shared.layout(PLAN) for _ in range(20)))
    again = await shared.layout(PLAN)
    assert shared.attempts == 1
    assert all(layout is again for layout in layouts)


async def test_only_the_layouts_used_last_are_cached() -> None:
    small = LayoutEngine(cached=2)
    plans = [plan(chain(length).recording().graph(0)) for length in (1, 2, 3)]
    for planned in plans:
        await small.layout(planned)
    await small.layout(plans[2])
    assert small.attempts == 3
    await small.layout(plans[0])
    assert small.attempts == 4


async def test_a_cancelled_caller_does_not_cancel_the_layout_for_others(tmp_path: Path) -> None:
    slow = LayoutEngine(script(tmp_path, f'sleep 0.3; exec "{program.find()}" "$@"'))
    impatient = asyncio.create_task(slow.layout(PLAN))
    patient = asyncio.create_task(slow.layout(PLAN))
    await asyncio.sleep(0.05)
    impatient.cancel()
    assert (await patient).boxes
    assert slow.attempts == 1


def test_a_shared_engine_works_in_one_loop_after_another() -> None:
    shared = LayoutEngine(at_once=1)
    for length in (1, 2):
        plans = [plan(chain(length + extra).recording().graph(0)) for extra in (0, 5, 10)]

        async def all_of(plans: list[LayoutPlan] = plans) -> list[GraphLayout]:
            return list(await asyncio.gather(*map(shared.layout, plans)))

        assert len(asyncio.run(all_of())) == 3


async def test_a_program_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    slow = LayoutEngine(script(tmp_path, f"echo $$ >> {pids}; sleep 60 & echo $! >> {pids}; wait"), seconds=0.4)
    began = time.monotonic()
    with pytest.raises(DrawingError, match=r"longer than 0\.4 s"):
        await slow.layout(PLAN)
    assert time.monotonic() - began < 10
    for pid in pids.read_text().split():
        for _ in range(100):
            if not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                break
            await asyncio.sleep(0.02)
        else:
            os.kill(int(pid), 9)
            pytest.fail("a process outlived the limit")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kill -SEGV $$", "signal 11"),
        ("echo 'Error: <stdin>: syntax' >&2; exit 1", "status 1 .*: Error: <stdin>: syntax"),
        ("echo '{not json'", "not a layout"),
        ('echo \'{"bb": "0,0,1,1"}\'', "not a layout"),
        ('cat >/dev/null; echo \'{"bb": "0,0,nan,1", "objects": [], "edges": []}\'', "not a layout"),
        ("true", "not a layout"),
    ],
)
async def test_a_program_that_fails_raises_an_error_with_the_reason(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DrawingError, match=message):
        await LayoutEngine(script(tmp_path, text)).layout(PLAN)


async def test_a_missing_program_raises_an_error_with_a_remedy() -> None:
    with pytest.raises(DrawingError, match="set TAPEDECK_DOT"):
        await LayoutEngine("/nowhere/dot").layout(PLAN)


async def test_a_program_that_cannot_be_started_raises_an_error(tmp_path: Path) -> None:
    path = tmp_path / "dot"
    path.write_bytes(b"\x7fELF no")
    path.chmod(0o755)
    with pytest.raises(DrawingError, match="could not be started"):
        await LayoutEngine(str(path)).layout(PLAN)


async def test_the_program_that_the_operator_names_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    named = LayoutEngine(script(tmp_path, f'echo "$@" > {mark}; exec "{program.find()}" "$@"'))
    check(await named.layout(PLAN))
    assert mark.read_text().split() == program.command("dot")[1:]


async def test_the_program_does_not_get_the_environment_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEDECK_SECRET", "hush")
    seen = tmp_path / "env"
    await LayoutEngine(script(tmp_path, f'env > {seen}; exec "{program.find()}" "$@"')).layout(PLAN)
    assert "hush" not in seen.read_text()


async def test_a_leaf_with_five_hundred_uses_is_laid_out_in_time() -> None:
    sketch = chain(500)
    hub = sketch.node("AccumulateGrad", kind=LEAF, name="W", value=1.0, grads=[1.0])
    for at in range(500):
        sketch.edge(at, hub, 1.0)
    planned = plan(sketch.recording().graph(0))
    layout = await LayoutEngine(seconds=30).layout(planned)  # would take minutes if all edges led to one box
    assert sum(each.box.node == hub for each in layout.boxes) == 500


def test_the_length_of_a_path_is_the_length_of_its_curve() -> None:
    length, back, middle = graph_layout._measure([(0.0, 0.0), (0.0, 10.0), (0.0, 20.0), (0.0, 30.0)])
    assert length == pytest.approx(30)
    assert middle == (0.0, 15.0)
    assert back[1] <= 20
    quarter = 4 / 3 * math.tan(math.pi / 8) * 100
    arc, _, _ = graph_layout._measure([(100.0, 0.0), (100.0, quarter), (quarter, 100.0), (0.0, 100.0)])
    assert arc == pytest.approx(50 * math.pi, rel=2e-3)
