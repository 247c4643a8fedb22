"""Lessons are read from Markdown, and each problem is reported with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from tapedeck.errors import BadRequest
from tapedeck.lessons import library
from tapedeck.lessons.cells import programs
from tapedeck.lessons.document import (
    DragTask,
    FixTask,
    Heading,
    LessonCell,
    PredictTask,
    PresenterNote,
    Prose,
    Scope,
    WriteTask,
)
from tapedeck.lessons.problems import LessonError
from tapedeck.lessons.reading import patch, reader

SAMPLE = (Path(__file__).parents[1] / "sample.md").read_text()
FRONT = '---\nid: a\ntitle: A\ngoal: Work out a.\ntorch: "2.13"\n---\n'
CELL = "```{code-cell} python\n:name: fit\na = 1\n```\n"


def problems(text: str) -> list[str]:
    with pytest.raises(LessonError) as raised:
        reader.read(text, "a.md")
    return [str(problem) for problem in raised.value.problems]


def test_a_lesson_has_its_blocks_in_reading_order() -> None:
    lesson = reader.read(SAMPLE)
    kinds = [LessonCell, LessonCell, PresenterNote, Heading, Prose, PredictTask, PredictTask, WriteTask, DragTask, FixTask]
    assert [type(block) for block in lesson.blocks] == kinds
    assert (lesson.id, lesson.minutes, lesson.seed, lesson.needs) == ("step", 12, 0, [])
    assert lesson.blocks[2] == PresenterNote("let them vote before you scroll on.", 19)


def test_a_number_of_the_prose_is_kept_with_its_binding_its_scope_and_its_line() -> None:
    prose = next(block for block in reader.read(SAMPLE).blocks if isinstance(block, Prose))
    first, second = prose.numbers
    assert (first.shown, first.binding, first.scope, first.line) == ("1", "node(loss).grad", Scope("fit", 1), 24)
    assert (second.shown, second.binding) == ("-0.6667, -1.3333, -2.0000", 'node("m * x").grad')
    assert second.line == 25
    assert (
        '<data class="num" data-number="1" value="node(&quot;m * x&quot;).grad">−0.6667, −1.3333, −2.0000</data>' in prose.html
    )
    assert prose.texts[0] == (24, "The pass starts with . At ,")
    assert prose.view is not None
    assert (prose.view.focus, prose.view.select, prose.view.phase) == (["loss", "m * x"], "loss", "backward")


def test_a_question_has_its_answer_its_replies_and_its_choices() -> None:
    number, choice = (block for block in reader.read(SAMPLE).blocks if isinstance(block, PredictTask))
    assert (number.name, number.kind, number.tolerance) == ("what-is-m-grad", "number", 0.001)
    assert number.answer is not None
    assert (number.answer.shown, number.answer.binding) == ("-9.3333", "m.grad")
    assert [reply.answer and reply.answer.shown for reply in number.replies] == ["-4.0000", None]
    assert number.opens is not None
    assert (number.opens.what, number.opens.names) == ("products", ["m * x", "m"])
    assert "<math" in number.replies[0].body[0].html  # type: ignore[union-attr]
    assert [(each.text, each.right) for each in choice.choices] == [
        ("yes, it was made by hand", True),
        ("no, it was computed", False),
    ]


@pytest.mark.parametrize(
    ("answer", "shown", "binding", "kind"),
    [
        ("m.grad", "", "m.grad", "number"),
        ("[4, 5.5]", "4, 5.5", "[4, 5.5]", "list"),
        ("−9.3 <m.grad>", "-9.3", "m.grad", "number"),
        ("None <y.grad>", "None", "y.grad", "error"),
        ("False <m.is_leaf>", "False", "m.is_leaf", "yes-no"),
        ("RuntimeError", "RuntimeError", "RuntimeError", "error"),
    ],
)
def test_an_answer_is_a_literal_a_binding_or_both(answer: str, shown: str, binding: str, kind: str) -> None:
    lesson = reader.read(f"{FRONT}{CELL}::::{{predict}} What?\n:answer: {answer}\n::::\n")
    task = lesson.blocks[-1]
    assert isinstance(task, PredictTask)
    assert task.answer is not None
    assert (task.answer.shown, task.answer.binding, task.kind) == (shown, binding, kind)


def test_tasks_have_whole_programs_also_where_the_file_has_a_diff() -> None:
    lesson = reader.read(SAMPLE)
    write = next(block for block in lesson.blocks if isinstance(block, WriteTask))
    assert (write.starts, write.cells, write.starter, write.judge) == ("fit", 1, "dm = ...", "dm == m.grad")
    assert write.mistakes[0].code == "dm = (2 * (m * x - y)).mean()"
    fix = next(block for block in lesson.blocks if isinstance(block, FixTask))
    assert fix.solution.endswith("    with torch.no_grad():\n        m -= 0.01 * m.grad\n    m.grad = None")
    assert fix.mistakes[0].code.endswith("m = (m - 0.01 * m.grad).detach()")
    assert programs.recordings(lesson)["train"] == [programs.cells_of(lesson, "fit")[0], fix.program]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A\n", "a.md:1: The lesson has no front matter"),
        ("---\nid: a\n---\n", "a.md:2: The front matter has no `title`: add a line that begins with `title:`."),
        (FRONT.replace("goal:", "gaol:"), "a.md:4: The front matter has no field `gaol`: it may have id, title, goal, torch"),
        (FRONT.replace('"2.13"', "2.13"), "a.md:5: `torch` must be a text: put its value in quotes."),
        (FRONT.replace("title: ", "title: On: "), "a.md:3: The front matter is not YAML (mapping values are not allowed"),
        (FRONT.replace("id: a", "id: An id"), "a.md:2: `id` is not valid: Expected `str` matching regex"),
        (FRONT + "::::{drag} m\n:range: 0 1 1\n:::\n", "a.md:9: `:::` ends no block: a block ends with as many colons"),
        (FRONT + "```{code-cell} python\na = 1\n```\n", "a.md:7: The first cell has no recording"),
        (FRONT + CELL + "```{code-cell} python\n:named: b\n```\n", "a.md:12: There is no option `:named:` here"),
        (FRONT + "{num}`1`\n", "a.md:7: `1` is no number with a binding"),
        (FRONT + "a\n{nun}`1 <m>`\n", "a.md:8: There is no role {nun}"),
        (FRONT + "![](x.png)\n", "a.md:7: A picture needs words"),
        (FRONT + "$\\left( 1$\n", "a.md:7: The formula cannot be read"),
        (FRONT + '{view="fit fase=loss"}\na\n', "a.md:7: A view has no `fase`"),
        (FRONT + '{view="fit phase=late"}\na\n', "a.md:7: `phase=late` of the view is not known"),
        (FRONT + "### A\n", "a.md:7: A heading of level 3 follows one of level 1"),
        (FRONT + ":::{predickt} A?\n:::\n", "a.md:7: There is no block {predickt}: use predict, write"),
        (FRONT + ":::{predict} A?\n:::\n", "a.md:7: A {predict} has either `:answer:` or choices"),
        (FRONT + "::::{predict} A?\n:answer: 1\n:::{sees} 1\n:::\n::::\n", "a.md:9: A {sees} does not belong in {predict}"),
        (FRONT + "::::{write} dm\n:judge: dm == 1\n:::{solution} dm = 1\n:::\n::::\n", "a.md:7: There is no recording ''"),
        (FRONT + CELL + "::::{write} dm\n:starts: fit/2\n:judge: a\n::::\n", "a.md:11: Recording `fit` has 1 cells above"),
        (FRONT + CELL + ":::{drag} a\n:range: 1 0 1\n:::\n", "a.md:11: A {drag} needs `:range: from to step`"),
        (FRONT + CELL + CELL, "a.md:11: The name `fit` is used twice"),
    ],
)
def test_a_problem_is_reported_with_its_line_and_a_remedy(text: str, expected: str) -> None:
    found = problems(text)
    assert any(problem.startswith(expected) for problem in found), found


def test_all_problems_of_a_lesson_are_reported_at_once() -> None:
    assert len(problems(FRONT + "{num}`1`\n\n{num}`2`\n\n:::{ask}\n:::\n")) == 3


def test_html_in_a_lesson_is_text_and_its_links_run_no_script() -> None:
    prose = reader.read(FRONT + "<script>a()</script>\n\n[a](javascript:a())\n").blocks
    assert not any("<script" in block.html or "href" in block.html for block in prose if isinstance(block, Prose))


@pytest.mark.parametrize("diff", ["-c\n+d", "-a\n+b", "?a", "+d"])
def test_a_diff_that_does_not_fit_is_an_error(diff: str) -> None:
    with pytest.raises(ValueError, match="diff"):
        patch.apply("a\nb\na", diff)


def test_a_folder_is_read_in_the_order_of_its_file_names_and_checked_across_its_lessons(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="has no lesson"):
        library.read_folder(tmp_path)
    (tmp_path / "2.md").write_text(FRONT)
    (tmp_path / "1.md").write_text(FRONT.replace("id: a", "id: b\nneeds: [a]"))
    assert [lesson.id for lesson in library.read_folder(tmp_path)] == ["b", "a"]
    (tmp_path / "2.md").write_text(FRONT.replace("id: a", "id: a\nneeds: [b]"))
    (tmp_path / "3.md").write_text(FRONT.replace("id: a", "id: b\nneeds: [c]"))
    with pytest.raises(LessonError) as raised:
        library.read_folder(tmp_path)
    assert "circle" in str(raised.value)
    assert "no lesson of this folder" in str(raised.value)
    assert "has the same id" in str(raised.value)


def test_what_is_written_is_compared_with_the_end_of_the_recording_after_which_it_runs() -> None:
    other = CELL.replace("fit", "other")
    write = "::::{write} b\n:starts: fit\n:judge: b == a\n:::{solution} b = 1\n:::\n::::\n"
    task = next(block for block in reader.read(FRONT + CELL + other + write).blocks if isinstance(block, WriteTask))
    assert task.scope == Scope("fit", 0)
