"""The check of a lesson reports what disagrees with its cells, with its line, and rewrites numbers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tapedeck.cli import lesson_check
from tapedeck.lessons.checking.check import LessonCheck
from tapedeck.lessons.checking.update import updated
from tapedeck.lessons.reading import reader
from tapedeck.lessons.running.bench import Bench

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:The .grad attribute")]

SAMPLE = (Path(__file__).parents[1] / "sample.md").read_text()


async def checked(bench: Bench, text: str) -> tuple[LessonCheck, list[str]]:
    """Return the check of a lesson, and its problems as text."""
    check = LessonCheck(reader.read(text, "a.md"), bench, {"leaf-rebound"})
    return check, [str(problem) async for problem in check.problems()]


def changed(*edits: tuple[str, str]) -> str:
    """Return the sample with some texts replaced."""
    text = SAMPLE
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


async def test_a_lesson_without_a_fault_has_no_problem(bench: Bench) -> None:
    assert (await checked(bench, SAMPLE))[1] == []


async def test_the_lesson_of_the_documentation_has_no_problem(bench: Bench) -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    lesson = readme.split("``````markdown\n")[1].split("``````")[0]
    assert (await checked(bench, lesson))[1] == []


async def test_each_fault_is_reported_with_its_line(bench: Bench) -> None:
    text = changed(
        ("starts with {num}`1 <", "starts at 0.5 with {num}`2 <"),
        ("focus=loss,'m * x'", "focus=loss,'m * y' step=3"),
        (":answer: -9.3333 <m.grad>", ":answer: m.grad"),
        (':::{reply} -4.0000 <sum(node("m * x").grad)>', ":::{reply} -9.3333"),
        (":::{reply} else\nLook at", ":::{reply} yes, it was made by hand\nLook at"),
        ("dm = ...", "dm = (2 * (m * x - y) * x).mean()"),
        ("(2 * (m * x - y)).mean()\nThat stops at `m * x`: {num}`-4.0000", "(2 * (m * x - y)).mean()\nThat stops at {num}`-5"),
        (":::{sees} 2.0", ":::{sees} 5"),
        (":finding: leaf-rebound", ":finding: leaf-bound"),
        ("m -= 0.01 * m.grad\n", "m += 0.01 * m.grad\n"),
    )
    found = (await checked(bench, text))[1]
    expected = [
        "a.md:24: 0.5 is not bound to a cell: write {num}`0.5 <m.grad>`, or {lit}`0.5`.",
        "a.md:37: There is no reply to other answers: add `:::{reply} else`.",
        "a.md:69: There is no finding `leaf-bound`: /findings lists them.",
        "a.md:24: 2 should be 1, the value of `node(loss).grad`.",
        "a.md:28: Without scripts, nobody can read the answer: write `-9.3333 <m.grad>`.",
        "a.md:23: There is no step 3: the recording has 1.",
        "a.md:23: The recording `fit` has no node and no variable `m * y`.",
        "a.md:30: The reply to -9.3333 is also for the answer: leave one out.",
        "a.md:47: `dm` passes before anything is changed: its judge accepts too much.",
        "a.md:59: -5 should be -4, the value of `dm`.",
        "a.md:65: 5 is outside of the range 0 to 4.",
        "a.md:69: The solution of `train` does not pass: `train[-1].loss` is 6.6683, not less than 4.6667.",
        "a.md:69: The program of `train` has no finding `leaf-bound`: it has",
    ]
    assert [line for line in expected if not any(each.startswith(line) for each in found)] == []
    assert len(found) == len(expected), found


async def test_numbers_of_headings_and_questions_are_checked(bench: Bench) -> None:
    text = changed(
        ("::::{drag} m\n", "## From 0.5 to {num}`-9.3 <m.grad>`, not {num}`-9.4 <m.grad>`\n::::{drag} m\n"),
        ("::::{predict} What is", "::::{predict} At {num}`2 <m>`, not 1.5, what is"),
    )
    assert (await checked(bench, text))[1] == [
        "a.md:27: 1.5 is not bound to a cell: write {num}`1.5 <m.grad>`, or {lit}`1.5`.",
        "a.md:62: 0.5 is not bound to a cell: write {num}`0.5 <m.grad>`, or {lit}`0.5`.",
        "a.md:27: 2 should be 1, the value of `m`.",
        "a.md:62: -9.4 should be -9.3, the value of `m.grad`.",
    ]


async def test_the_slider_must_reach_the_number_of_the_program_and_each_stated_value(bench: Bench) -> None:
    text = changed((":range: 0 4 0.1", ":range: 0 4 0.3"), (":::{sees} 2.0", ":::{sees} 2.05"))
    assert (await checked(bench, text))[1] == [
        "a.md:62: The program has m at 1, which the slider does not reach: its range goes from 0 to 4 in steps of 0.3.",
        "a.md:65: The slider does not reach 2.05: its range goes from 0 to 4 in steps of 0.3.",
    ]


async def test_a_cell_must_end_as_it_says_and_repeat_itself(bench: Bench) -> None:
    front = '---\nid: a\ntitle: A\ngoal: A.\ntorch: "2.13"\n---\n'
    cell = front + "```{{code-cell}} python\n:name: a\nimport torch, time\n{}\n```\n"
    found = (await checked(bench, cell.format("m = torch.ones(1, requires_grad=True)\n1 / 0")))[1]
    assert found == ["a.md:11: The recording `a` ends with ZeroDivisionError: division by zero: write `:raises:` if it must."]
    random = "m = torch.tensor(float(time.time_ns() % 10**9), requires_grad=True)\n(m * m).backward()"
    (problem,) = (await checked(bench, cell.format(random)))[1]
    assert problem.startswith("a.md:9: The recording `a` does not repeat itself")


async def test_update_rewrites_numbers_that_disagree(bench: Bench) -> None:
    text = changed(
        ("{num}`1 <node(loss)", "{num}`2 <node(loss)"),
        ("-0.6667, -1.3333, -2.0000 <", "−0.6, 1, 1.00 <"),
        (":answer: -9.3333 <m.grad>", ":answer: m.grad"),
        ("{num}`-4.0000 <dm>", "{num}`-3.0000 <dm>"),
    )
    check, _ = await checked(bench, text)
    new, missing = updated(text, check.stale)
    assert missing == []
    assert new == changed(("-0.6667, -1.3333, -2.0000 <", "-0.7, -1, -2.00 <"))


async def test_the_command_prints_problems_and_rewrites_the_files(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @asynccontextmanager
    async def unconfined() -> AsyncIterator[Bench]:
        yield bench

    monkeypatch.setattr(lesson_check, "bench", unconfined)
    file = tmp_path / "a.md"
    file.write_text(changed(("{num}`1 <node(loss)", "{num}`2 <node(loss)")))
    assert not await lesson_check.check(tmp_path, update=True)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{file}:24: 2 should be 1, the value of `node(loss).grad`."
    assert file.read_text() == SAMPLE
    assert await lesson_check.check(file)
    assert capsys.readouterr().out == "1 lesson checked.\n"
    file.write_text("# A\n")
    assert not await lesson_check.check(tmp_path)
    no_front_matter, summary = capsys.readouterr().out.splitlines()
    assert no_front_matter.startswith(f"{file}:1: The lesson has no front matter")
    assert summary == "0 lessons checked. 1 lesson could not be read: its cells were not run."


async def test_a_lesson_that_cannot_be_read_hides_no_problem_of_the_others(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @asynccontextmanager
    async def unconfined() -> AsyncIterator[Bench]:
        yield bench

    monkeypatch.setattr(lesson_check, "bench", unconfined)
    front, syntax, latin, wrong, twin = (tmp_path / f"{name}.md" for name in "abcde")
    front.write_text(SAMPLE.replace("title: ", "titel: "))
    syntax.write_text(SAMPLE.replace(":judge: ", ":juge: "))
    latin.write_bytes("# ü".encode("latin-1"))
    faulty = changed(("{num}`1 <node(loss)", "{num}`2 <node(loss)"), ("goal: ", "needs: [of-a-broken-file]\ngoal: "))
    wrong.write_text("\ufeff" + faulty, encoding="utf-8")  # Windows' Notepad begins a file so
    twin.write_text(SAMPLE)
    assert not await lesson_check.check(tmp_path, update=True)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in printed] == [
        f"{front}:3",
        f"{syntax}:47",
        f"{syntax}:49",
        f"{latin}:1",
        f"{wrong}:2",
        f"{wrong}:25",
        str(wrong),
        "2 lessons checked. 3 lessons could not be read",
    ]
    assert printed[5] == f"{wrong}:25: 2 should be 1, the value of `node(loss).grad`."
    assert wrong.read_text(encoding="utf-8-sig") == changed(("goal: ", "needs: [of-a-broken-file]\ngoal: "))
