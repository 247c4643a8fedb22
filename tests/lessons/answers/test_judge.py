"""A reader's code is run after the cells of a lesson, and judged element by element against the tape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tapedeck import model, wire
from tapedeck.lessons.answers.judge import Judge
from tapedeck.lessons.cells.programs import walk
from tapedeck.lessons.document import FixTask, WriteTask
from tapedeck.lessons.reading import reader
from tapedeck.lessons.running.bench import Bench
from tapedeck.lessons.running.recorded_lesson import RecordedLesson

from ...in_process import InProcess
from ...until import until
from ...web.conftest import Serve, serve  # noqa: F401 (a fixture)
from ..conftest import bench_on

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:The .grad attribute")]

VECTOR = """---
id: vector
title: Two gradients
goal: Write them.
torch: "2.13"
---
```{code-cell} python
:name: run
import torch
x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
w = torch.tensor([1.0, -1.0, 2.0], requires_grad=True)
```
```{code-cell} python
z = (w * x ** 2).sum()
z.backward()
copy = x.grad * 1
```
::::{write} dx
:starts: run/1
:judge: dx == x.grad and len(leaves(z)) == 2
:::{then} z = (w * x ** 2).sum(); z.backward()
:::
:::{solution} dx = 2 * w * x
:::
:::{mistake} dx = 2 * x
You left out w.
:::
:::{mistake}
```python
y = x + x
dx = y
```
You left out w, too.
:::
::::
::::{write} copied
:starts: run
:judge: dx == copy
:::{solution} dx = 2 * w * x
:::
::::
::::{write} cube
:starts: run/1
:check: right
:::{then}
```python
z = Cube.apply(x).mean()
z.backward()
```
:::
:::{solution}
```python
class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x ** 3

    @staticmethod
    def backward(ctx, g):
        return g * 3 * ctx.saved_tensors[0] ** 2
```
:::
::::
::::{write} graph
:starts: run/1
:judge: len(leaves(z)) == 2
:::{solution} z = (w * x ** 2).sum()
:::
::::
::::{break-fix} three
:starts: run/1
:error: TypeError
:holds: three[2].z == 14
```python
z = None + x
```
:::{solution}
```python
for step in range(3):
    z = (x * x).sum()
    z.backward()
    x.grad = None
```
:::
::::
::::{break-fix} path
:starts: run/1
:error: RuntimeError
:holds: x.grad == 2 * x
```python
with torch.no_grad():
    z = (x * x).sum()
z.backward()
```
:::{solution}
```python
z = (x * x).sum()
z.backward()
```
:::
:::{mistake}
```python
with torch.no_grad():
    z = (x * x).sum()
z.requires_grad_()
z.backward()
```
No path leads to x.
:::
::::
"""


class Tasks:
    """The tasks of two lessons, by name, with their judges."""

    def __init__(self, bench: Bench) -> None:
        self._tasks: dict[str, tuple[Judge, WriteTask | FixTask]] = {}
        for text in ((Path(__file__).parents[1] / "sample.md").read_text(), VECTOR):
            lesson = reader.read(text)
            judge = Judge(RecordedLesson(lesson, bench))
            tasks = (block for block in walk(lesson.blocks) if isinstance(block, WriteTask | FixTask))
            self._tasks |= {task.name: (judge, task) for task in tasks}

    def of(self, name: str) -> tuple[Judge, WriteTask | FixTask]:
        return self._tasks[name]

    def __getitem__(self, name: str) -> WriteTask | FixTask:
        return self._tasks[name][1]

    async def judged(self, name: str, code: str) -> dict[str, object]:
        """Return what was found about code for a task, without what is empty."""
        judge, task = self._tasks[name]
        judged = await judge.judge(task, code)
        return {
            field: value for field in judged.__struct_fields__ if (value := getattr(judged, field)) not in (None, [], "", 0)
        }


@pytest.fixture
def tasks(bench: Bench) -> Tasks:
    return Tasks(bench)


async def test_right_code_passes_and_wrong_code_gets_both_numbers_of_its_first_wrong_element(tasks: Tasks) -> None:
    assert (await tasks.judged("dm", tasks["dm"].solution))["passed"]
    judged = await tasks.judged("dm", "dm = (m * x - y).mean()")
    assert judged["sentence"] == "`dm` is −2, but `m.grad` has −9.3333."
    assert (judged["wrong"].index, round(judged["wrong"].yours, 4), round(judged["wrong"].tape, 4)) == ([], -2.0, -9.3333)  # type: ignore[attr-defined]
    assert (judged["node"], judged["differing"], judged["of"]) == ("m", 1, 1)
    judged = await tasks.judged("dx", "dx = 2 * w * x\ndx[1] = 0")
    assert judged["sentence"] == "`dx[1]` is 0, but `x.grad` has −4 there. 1 of 3 elements differ."


async def test_shape_dtype_and_missing_values_are_named(tasks: Tasks) -> None:
    async def sentence(name: str, code: str) -> object:
        return (await tasks.judged(name, code))["sentence"]

    assert await sentence("dm", "dm = 2 * (m * x - y) * x") == "`dm` has the shape [3], but `m.grad` has []."
    assert (
        await sentence("dm", "dm = torch.tensor(-9.3333, dtype=torch.float64)") == "`dm` is float64, but `m.grad` is float32."
    )
    assert await sentence("dm", "d = 1") == "`dm` has no value after your code: assign it."
    assert await sentence("dm", "dm = None") == "`dm` is None, but `m.grad` is −9.3333."
    assert await sentence("dm", "dm = m.grad  # ha") == "`m.grad` is the answer itself: compute it from the other names."
    assert (await tasks.judged("dm", "dm = -9.3333333"))["passed"], "a plain number is a number"
    assert await sentence("copied", "dx = 0 * copy") == "`copy` is the answer itself: compute it from the other names."
    assert (await tasks.judged("copied", "copy = 2 * w * x\ndx = copy"))["passed"], "a name of the reader's own"
    assert await sentence("dx", "dx = -4") == "`dx` has the shape [], but `x.grad` has [3]."
    large = "dx = torch.zeros(100_000)"  # a recording does not keep its elements
    assert await sentence("dx", large) == "`dx` has the shape [100000], but `x.grad` has [3]."


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("(2 * w * x).detach().numpy()", "array([ 2., -4., 12.], dtype=float32)"),
        ("'2, -4, 12'", "2, -4, 12"),
        ("[[2], [-4, 12]]", "[[2], [-4, 12]]"),
        ("10 ** 400", "1" + 79 * "0" + "…"),
        ("{1: 2}", "{1: 2}"),
    ],
)
async def test_a_value_of_another_type_is_named(tasks: Tasks, value: str, shown: str) -> None:
    judged = await tasks.judged("dx", f"dx = {value}")
    assert judged["sentence"] == f"`dx` is {shown}: it must be a tensor, a number or a list of numbers."


async def test_code_that_fails_gets_its_error_with_the_line_in_the_code(tasks: Tasks) -> None:
    judged = await tasks.judged("dm", "a = 1\ndm = a + undefined")
    assert judged["sentence"] == "It ends with NameError on line 2: name 'undefined' is not defined"
    assert judged["error"].line == 2  # type: ignore[attr-defined]
    judged = await tasks.judged("dm", "dm = (1\n")
    assert str(judged["sentence"]).startswith("It ends with SyntaxError")


async def test_a_mistake_of_the_lesson_is_recognized_by_what_it_computes(tasks: Tasks) -> None:
    judge, task = tasks.of("dm")
    assert (await judge.judge(task, "r = 2 * (m * x - y)\ndm = r.sum() / 3")).mistake == 0
    assert (await judge.judge(task, "dm = m * 3")).mistake is None
    judge, task = tasks.of("dx")
    assert (await judge.judge(task, "dx = x * 2 + 0")).mistake == 0
    assert (await judge.judge(task, "y = x + x\ndx = 1 * y")).mistake == 1, (
        "of two with one result, the one with the same lines"
    )


async def test_readers_who_fail_at_the_same_moment_share_the_runs_of_the_mistakes() -> None:
    async with bench_on(executor := InProcess()) as bench:
        tasks = Tasks(bench)
        judge, task = tasks.of("dx")
        await asyncio.gather(*(judge.judge(task, f"dx = x * {number}") for number in range(3, 9)))
        for mistake in task.mistakes:
            assert sum(mistake.code.strip() in job.program for job in executor.jobs) == 1


class StuckInReplays(InProcess):
    """Runs programs, but a replay takes until it is cancelled."""

    stuck = stopped = 0

    async def run(
        self, job: wire.Job, *, limits: model.Limits, cancelled: asyncio.Event, client: str = ""
    ) -> AsyncIterator[list[wire.AnyEvent]]:
        if job.replay is None:
            async for batch in super().run(job, limits=limits, cancelled=cancelled, client=client):
                yield batch
            return
        self.stuck += 1
        await cancelled.wait()
        self.stopped += 1
        yield [wire.EndEvent("cancelled", wire.ProgramFailure("cancelled", "Stopped.", None, -1, ""), 3.0)]


async def test_a_reader_who_leaves_stops_the_gradient_check_too() -> None:
    async with bench_on(executor := StuckInReplays()) as bench:
        judge, task = Tasks(bench).of("cube")
        judging = asyncio.ensure_future(judge.judge(task, task.solution))
        await until(lambda: executor.stuck == 1)
        judging.cancel()
        await until(lambda: executor.stopped == 1)


async def test_every_condition_is_judged_and_so_is_a_gradient_check(tasks: Tasks) -> None:
    judged = await tasks.judged("dx", "dx = 2 * w * x\nw = w.detach()")
    assert judged["sentence"] == "`len(leaves(z))` is 1, not 2."
    right = tasks["cube"].solution
    assert (await tasks.judged("cube", right))["passed"]
    judged = await tasks.judged("cube", right.replace("g * 3", "3"))
    assert "says *wrong*" in str(judged["sentence"])


async def test_code_without_a_graph_or_a_step_of_the_task_gets_a_sentence_about_it(tasks: Tasks) -> None:
    judged = await tasks.judged("graph", "z = 14.0")
    assert judged["sentence"] == "Your code makes no graph with `z` in it: a graph needs a tensor that requires a gradient."
    judged = await tasks.judged("three", "z = (x * x).sum()\nz.backward()")
    assert judged["sentence"] == "Your code makes fewer steps of training than the task needs."


async def test_a_finding_counts_the_lines_of_the_readers_code(tasks: Tasks) -> None:
    task = tasks["train"]
    assert isinstance(task, FixTask)
    kept = task.program.replace("    loss.backward()", "    m.retain_grad()\n    loss.backward()")
    judged = await tasks.judged("train", f"# a comment\n{kept}")
    assert str(judged["sentence"]).startswith("The fault is still there: Line 6 makes `m` a new tensor.")


async def test_code_that_runs_nothing_backward_is_not_taken_for_a_mistake_that_does(tasks: Tasks) -> None:
    judge, task = tasks.of("path")
    assert isinstance(task, FixTask)
    assert (await judge.judge(task, task.mistakes[0].code)).mistake == 0
    assert (await judge.judge(task, task.mistakes[0].code.replace("z.backward()", ""))).mistake is None


async def test_a_program_is_mended_when_its_finding_is_gone_and_what_must_hold_does(tasks: Tasks) -> None:
    task = tasks["train"]
    assert isinstance(task, FixTask)
    assert (await tasks.judged("train", task.solution))["passed"]
    judged = await tasks.judged("train", task.program)
    assert "leaf-rebound" in judged["findings"]  # type: ignore[operator]
    judged = await tasks.judged("train", task.solution.replace("-= 0.01", "+= 0.01"))
    assert judged["sentence"] == "`train[-1].loss` is 6.6683, not less than 4.6667."


async def test_the_api_lists_lessons_and_judges_within_bounds(serve: Serve, tmp_path: Path) -> None:  # noqa: F811
    folder = tmp_path / "lessons"
    folder.mkdir()
    sample = (Path(__file__).parents[1] / "sample.md").read_text()
    (folder / "sample.md").write_text(sample)
    (folder / "wrong.md").write_text(
        sample.replace("id: step", "id: wrong").replace(":judge: dm == m.grad", ":judge: dm == mm")
    )
    async with serve(executor=(executor := InProcess()), lessons=str(folder)) as client:
        listed = (await client.get("/api/v1/lessons")).json()["lessons"]
        assert [each["id"] for each in listed[-2:]] == ["step", "wrong"]
        assert listed[-2]["links"] == {"self": "/api/v1/lessons/step", "page": "/lessons/step"}
        lesson = (await client.get("/api/v1/lessons/step")).json()
        assert (lesson["file"], lesson["blocks"][0]["type"]) == ("sample.md", "cell")

        async def post(path: str, body: object) -> httpx.Response:
            return await client.post(f"/api/v1/lessons/step/{path}", json=body)

        judged = (await post("write/dm", {"code": "dm = (2 * (m * x - y)).mean()"})).json()
        assert (judged["passed"], judged["mistake"], judged["node"]) == (False, 0, "m")
        assert judged["wrong"] == {"index": [], "yours": -4.0, "tape": pytest.approx(-9.333334)}
        fix = next(block for block in lesson["blocks"] if block["type"] == "break-fix")
        assert judged["run"] is None
        fixed = (await post("fix/train", {"code": fix["solution"]})).json()
        assert fixed["passed"]
        shown = (await client.get(f"/api/v1/runs/{fixed['run']}")).json()
        assert (shown["status"], shown["steps"]) == ("done", 3)
        answer = await client.post("/api/v1/lessons/wrong/write/dm", json={"code": "dm = 1"})
        assert (answer.status_code, "`mm` has no value" in answer.json()["detail"]) == (422, True)
        runs = len(executor.jobs)
        for path, body, status in [
            ("write/nothing", {"code": "a"}, 404),
            ("fix/dm", {"code": "a"}, 404),
            ("write/dm", {"code": "a" * 8_001}, 422),
            ("write/dm", {"code": " "}, 422),
            ("write/dm", {"program": "a"}, 422),
            ("write/dm", {"code": "a" * 60_000}, 413),
        ]:
            answer = await post(path, body)
            assert (answer.status_code, path) == (status, path)
        assert (await client.get("/api/v1/lessons/nothing")).status_code == 404
        assert len(executor.jobs) == runs, "what is refused is not run"
        stored = (await client.get("/api/v1/runs")).json()
        assert not stored["runs"], "no list has the run of a fixed program"
