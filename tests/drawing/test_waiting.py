"""A process of the layout program waits for the next graph, and a program that answers after each graph is used again."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tapedeck.drawing import dot, program
from tapedeck.drawing.engine import LayoutEngine
from tapedeck.drawing.plan import plan
from tapedeck.drawing.waiting import LayoutPrograms
from tapedeck.errors import DrawingError

from ..until import until
from .handmade import seed
from .test_engine import script

pytestmark = pytest.mark.anyio
SOURCE = dot.boxes(plan(seed().graph(0)))


@pytest.fixture
async def programs() -> AsyncIterator[LayoutPrograms]:
    made = LayoutPrograms(probe_seconds=0.05)
    yield made
    await made.close()


def one_graph(folder: Path) -> tuple[str, Path]:
    """Return a program that reads its whole input, and the file to which each of its processes writes its id."""
    pids = folder / "pids"
    return script(folder, f'echo $$ >> {pids}; exec "{program.find()}" "$@"'), pids


def resident(folder: Path, on_graph: str = "") -> tuple[str, Path]:
    """Return a program that answers after each graph, and the file of its ids. It runs ``on_graph`` before each answer."""
    answer, pids = folder / "answer.json", folder / "pids"
    command = program.command(program.find())
    answer.write_bytes(subprocess.run(command, input=SOURCE.encode(), stdout=subprocess.PIPE, check=True).stdout)
    text = f'echo $$ >> {pids}\nwhile read -r line; do case "$line" in *"{{ a }}"|"}}") {on_graph}\ncat {answer};; esac; done'
    return script(folder, text), pids


async def waits(programs: LayoutPrograms) -> int:
    """Return the id of the process that waits, once there is one."""
    await until(lambda: programs.waiting is not None)
    assert programs.waiting is not None
    return programs.waiting


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def test_a_graph_is_laid_out_by_the_process_that_waits_and_another_one_waits_for_the_next(
    programs: LayoutPrograms, tmp_path: Path
) -> None:
    path, pids = one_graph(tmp_path)
    assert b'"bb"' in await programs.lay_out(path, SOURCE, 60)
    assert programs.waiting is None, "nothing waits before begin()"
    programs.begin(path)
    used = []
    for _ in range(2):
        used.append(await waits(programs))
        assert b'"bb"' in await programs.lay_out(path, SOURCE, 60)
        assert gone(used[-1])
    assert await waits(programs) not in used
    assert set(used) < set(map(int, pids.read_text().split()))


async def test_a_resident_program_lays_out_all_graphs_in_one_process(programs: LayoutPrograms, tmp_path: Path) -> None:
    path, pids = resident(tmp_path)
    programs._probe_seconds = 60
    programs.begin(path)
    first = await waits(programs)
    for _ in range(3):
        assert b'"bb"' in await programs.lay_out(path, SOURCE, 60)
        assert programs.waiting == first
    assert pids.read_text().split() == [str(first)]


async def test_graphs_at_the_same_time_have_processes_of_their_own(programs: LayoutPrograms, tmp_path: Path) -> None:
    path, _ = resident(tmp_path)
    programs._probe_seconds = 60
    programs.begin(path)
    await waits(programs)
    outputs = await asyncio.gather(*(programs.lay_out(path, SOURCE, 60) for _ in range(3)))
    assert all(b'"bb"' in output for output in outputs)
    await waits(programs)


async def test_a_graph_at_which_a_resident_program_ends_is_laid_out_by_another_process(
    programs: LayoutPrograms, tmp_path: Path
) -> None:
    mark = tmp_path / "ended"
    path, _ = resident(tmp_path, f'[ "$line" != "}}" ] || [ -e {mark} ] || {{ touch {mark}; exit 3; }}')
    programs._probe_seconds = 60
    programs.begin(path)
    first = await waits(programs)
    assert b'"bb"' in await programs.lay_out(path, SOURCE, 60)
    assert mark.exists()
    assert await waits(programs) != first
    assert gone(first)


async def test_a_resident_program_that_takes_too_long_is_killed(programs: LayoutPrograms, tmp_path: Path) -> None:
    path, _ = resident(tmp_path, '[ "$line" != "}" ] || sleep 60')
    programs._probe_seconds = 60
    programs.begin(path)
    first = await waits(programs)
    with pytest.raises(program.TooSlow):
        await programs.lay_out(path, SOURCE, 0.05)
    assert gone(first)


async def test_no_process_is_left_after_the_end_or_after_a_long_time_without_graphs(tmp_path: Path) -> None:
    path, pids = one_graph(tmp_path)
    programs = LayoutPrograms(idle_seconds=0.05, probe_seconds=0.05)
    programs.begin(path)
    await until(lambda: programs._starting is not None and programs._starting.done() and programs.waiting is None)
    await until(lambda: not pids.exists() or all(gone(int(pid)) for pid in pids.read_text().split()))
    programs._idle_seconds = 60
    programs.expect()
    waiting = await waits(programs)
    await programs.close()
    assert gone(waiting)
    programs.expect()
    assert b'"bb"' in await programs.lay_out(path, SOURCE, 60)
    assert programs.waiting is None


async def test_a_program_that_cannot_be_started_is_reported_by_the_layout_only(
    programs: LayoutPrograms, tmp_path: Path
) -> None:
    path = tmp_path / "dot"
    path.write_bytes(b"\x7fELF no")
    path.chmod(0o755)
    programs.begin(str(path))
    await until(lambda: programs._starting is not None and programs._starting.done())
    with pytest.raises(DrawingError, match="could not be started"):
        await programs.lay_out(str(path), SOURCE, 60)
    LayoutEngine("/nowhere/dot").prepare()
