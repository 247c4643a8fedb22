"""Every lesson is done from start to end in the browser, each of its tasks first by keyboard, then by touch."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect
from tapedeck.lessons import library

from .conftest import Problems, open_recorded

JUDGED_WITHIN = 60_000  # milliseconds


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    """Let the pages of this module be touched."""
    return {**browser_context_args, "has_touch": True, "reduced_motion": "reduce"}


def press(button: Locator, touch: bool) -> None:
    """Press a button by touch, or by keyboard."""
    if touch:
        button.tap()
    else:
        button.press("Enter")


def say(question: Locator, guess: str, touch: bool) -> None:
    """Answer a question with a text."""
    field = question.locator("form input[type=text]")
    field.fill(guess)
    if touch:
        question.get_by_role("button", name="Check").tap()
    else:
        field.press("Enter")


def choose(question: Locator, right: bool, touch: bool) -> None:
    """Answer a question with one of its choices."""
    offered = question.locator(".offered > li")
    index = next(i for i in range(offered.count()) if (offered.nth(i).get_attribute("data-right") is not None) == right)
    box = question.locator(".choices input").nth(index)
    if touch:
        box.tap()
    else:
        box.press("Space")
    press(question.get_by_role("button", name="Check"), touch)


def predict(question: Locator, touch: bool) -> None:
    """Give a wrong answer, read the reply to it, and give the right answer."""
    replies = question.locator("dd[data-reply]")
    if question.locator(".offered").count():
        choose(question, False, touch)
    else:
        say(question, replies.first.get_attribute("data-reply") or "", touch)
    expect(question.locator(".guess .reply")).not_to_be_empty()
    if question.locator(".offered").count():
        choose(question, True, touch)
    else:
        say(question, question.get_attribute("data-answer") or "", touch)
    expect(question.locator(".guess")).to_contain_text("right")


def solve(task: Locator, touch: bool) -> None:
    """Run the solution of a task, which the server judges."""
    verdict = task.locator(".verdict")
    if touch:
        task.get_by_role("button", name="Start over").tap()
        expect(verdict).to_be_empty()
    press(task.get_by_role("button", name="Show the solution"), touch)
    if touch:
        task.get_by_role("button", name="Run").tap()
    else:
        task.locator(".cm-content").press("Control+Enter")
    expect(verdict).to_contain_text("Right.", timeout=JUDGED_WITHIN)


def drag(task: Locator, touch: bool) -> None:
    """Tap what one sees, or move the number by one step."""
    if touch:
        sight = task.locator(".seen > li").first
        sight.get_by_role("button").tap()
        expect(sight).to_contain_class("here")
    else:
        slider = task.get_by_role("slider")
        before = task.locator("output").text_content() or ""
        most = float(slider.get_attribute("max") or 0)
        slider.press("ArrowLeft" if float(slider.input_value()) == most else "ArrowRight")
        expect(task.locator("output")).not_to_have_text(before)


DONE_BY = {"predict": predict, "write": solve, "break-fix": solve, "drag": drag}


@pytest.mark.parametrize("lesson", [each.id for each in library.own()])
def test_a_lesson_is_done_from_start_to_end(page: Page, problems: Problems, lesson: str) -> None:
    problems.expect(r"503 .*/drag/")  # a busy server refuses to run a dragged program, and the page says so
    open_recorded(page, f"/lessons/{lesson}")
    tasks = page.locator("[data-task]").all()
    kinds = [task.get_attribute("data-task") or "" for task in tasks]
    for task, kind in sorted(zip(tasks, kinds, strict=True), key=lambda each: each[1] == "drag"):  # a drag changes the answers
        DONE_BY[kind](task, False)
        DONE_BY[kind](task, True)
    expect(page.locator(".rail li.done")).to_have_count(len(tasks))
