"""A lesson in the browser: the stage follows the reader, questions answer, and the page is accessible at every width."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from .conftest import THEMES, Problems, open_recorded
from .test_layout import outside, violations

LESSON = "/lessons/backward"
MOST_OF_LESSON, MOST_OF_LIST = 120_000, 60_000
"""Bytes that a page may load, compressed."""

Look = Callable[[int, str], Page]


def loaded(page: Page) -> int:
    """Return how many bytes the page has loaded."""
    return int(
        page.evaluate(
            """[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
               .reduce((sum, each) => sum + each.transferSize, 0)"""
        )
    )


HIDDEN = """() => {
    const question = document.querySelector(".predict");
    const shown = (each) => each.checkVisibility({ visibilityProperty: true });
    const numbers = [...document.querySelectorAll("article > :not(.task) .num")];
    const later = numbers.filter((each) => question.compareDocumentPosition(each) & Node.DOCUMENT_POSITION_FOLLOWING);
    return {
        before: numbers.filter((each) => !later.includes(each)).every(shown),
        later: later.filter(shown).length,
        outputs: [...document.querySelectorAll(".predict ~ .cell .output")].filter(shown).length,
        answers: [...document.querySelectorAll(".predict > .reveal")].filter(shown).length,
        all: later.length,
    };
}"""


@pytest.mark.parametrize("case", ["waiting", "before the script", "without a script"])
def test_no_answer_is_seen_before_the_questions_are_set_up(case: str, page: Page, browser: Browser, server: str) -> None:
    open_recorded(page, LESSON)
    expect(page.locator("article")).to_have_attribute("data-asked", "")
    state = page.evaluate(HIDDEN)
    assert 0 < state["later"] < state["all"], "each question covers its own answer only"

    def wait(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace('"waiting":false', '"waiting":true'))

    if case == "waiting":
        page.route(re.compile(f"{LESSON}$"), wait)
    elif case == "before the script":
        page.route(re.compile(r"/lesson-\w+\.js"), lambda route: route.fulfill(body="", content_type="text/javascript"))
    else:
        page = browser.new_context(java_script_enabled=False, base_url=server).new_page()
    page.goto(LESSON)
    page.mouse.move(4, 4)
    state = page.evaluate(HIDDEN)
    assert state["before"]
    if case == "without a script":
        assert state["later"] == state["all"]
        assert state["answers"] == page.locator(".predict").count()
    else:
        assert (state["later"], state["outputs"], state["answers"]) == (0, 0, 0)


def open_lesson(page: Page) -> None:
    open_recorded(page, LESSON)
    page.mouse.move(4, 4)  # the stage is loaded when the reader does something
    expect(page.locator("#canvas .placeholder")).to_have_count(0)
    expect(page.locator("#canvas svg.graph")).to_be_visible()


def test_a_lesson_whose_script_never_comes_is_an_article(page: Page, problems: Problems, server: str) -> None:
    problems.expect(r"ERR_FAILED .*/lesson-")
    page.emulate_media(reduced_motion="reduce")
    page.route(re.compile(r"/lesson-\w+\.js"), lambda route: route.abort())
    page.goto(server + LESSON)
    state = page.evaluate(HIDDEN)
    assert (state["later"], state["outputs"], state["answers"]) == (0, 0, 0)
    page.evaluate("document.getAnimations().forEach((each) => each.finish())")  # after ten seconds
    state = page.evaluate(HIDDEN)
    assert state["later"] == state["all"]
    assert state["outputs"]
    expect(page.locator("details.reveal").first).to_be_visible()


def test_the_stage_follows_the_reader_by_key_and_by_scrolling(look: Look) -> None:
    page = look(1440, "light")
    open_lesson(page)
    assert loaded(page) <= MOST_OF_LESSON
    first = page.locator("[data-view]").first
    expect(first).to_have_class(re.compile("reading"))
    expect(page.locator("#stage-when")).to_have_text("before backward()")
    # only the node of the sentence is lit
    expect(page.locator("#canvas .node.root")).not_to_have_class(re.compile("dim"))
    expect(page.locator("#canvas .node.leaf").first).to_have_class(re.compile("dim"))
    # a passage opens the inspector in brief, so that two thirds of the stage stay with the graph and the deck
    inspector, stage = page.locator("#inspector"), page.locator("#stage")
    expect(inspector).to_be_visible()
    assert inspector.evaluate("each => each.offsetHeight") < 0.34 * stage.evaluate("each => each.offsetHeight")
    expect(inspector.locator(".facts")).to_be_hidden()
    inspector.get_by_role("button", name="more").click()
    expect(inspector.locator(".facts")).to_be_visible()
    page.locator("#stage-name").click()
    page.keyboard.press("j")
    expect(inspector.locator(".facts")).to_be_hidden()
    expect(page.locator("#stage-when")).to_have_text("inside backward()")
    expect(page.locator("[data-view]").nth(1)).to_have_class(re.compile("reading"))
    page.keyboard.press("k")
    expect(first).to_have_class(re.compile("reading"))
    last = page.locator("[data-view]").last
    last.evaluate("each => each.scrollIntoView({block: 'start'})")
    expect(last).to_have_class(re.compile("reading"))
    expect(page.locator(".rail a[aria-current]")).to_have_count(1)
    # on a phone the text has its place before the stage above it has arrived, which comes last in the page
    page = look(390, "light")
    page.evaluate("scrollTo(0, 0)")
    top = "document.querySelector('#main').getBoundingClientRect().top"
    there = page.evaluate(top)
    page.evaluate("document.querySelector('#stage').remove()")
    assert page.evaluate(top) == pytest.approx(there, abs=1)


def test_a_question_answers_a_wrong_guess_and_is_remembered(look: Look) -> None:
    page = look(1440, "light")
    page.goto("/lessons/update")
    question = page.locator("[data-task=predict]:has(.offered)").first
    wrong = question.locator(".choices label:has(input)").nth(
        int(
            question.evaluate(
                "each => [...each.querySelectorAll('.offered > li')].findIndex((one) => !('right' in one.dataset))"
            )
        )
    )
    right = question.locator(".choices label:has(input)").nth(
        int(question.evaluate("each => [...each.querySelectorAll('.offered > li')].findIndex((one) => 'right' in one.dataset)"))
    )
    wrong.click()
    question.get_by_role("button", name="Check").click()
    expect(question.locator(".guess .reply")).not_to_be_empty()
    expect(question.locator("details.reveal")).to_be_hidden()
    right.locator("input").focus()
    page.keyboard.press("Space")
    question.get_by_role("button", name="Check").press("Enter")
    expect(question.locator("details.reveal")).to_be_visible()
    page.reload()
    expect(page.locator(".rail li.done")).to_have_count(1)
    page.goto("/lessons")
    assert loaded(page) <= MOST_OF_LIST
    expect(page.locator("[data-lesson=update] .done")).to_have_text(re.compile("^1 of "))


@pytest.mark.parametrize(
    ("lesson", "name", "guess", "reply"),
    [
        ("backward", "what-arrives-at-the-square-y-pred-y-2", "1/3", "The answer has 3 numbers: separate them by commas."),
        ("backward", "what-is-m-grad", "-1, -2", "The answer is a single number."),
        ("backward", "what-is-m-grad", "2x", "Type numbers only, such as -1.5 or 2/3."),
        ("backward", "what-is-m-grad", "None", "The answer is a single number."),
        ("backward", "what-is-m-grad", "9,3333", "Type a point before the decimals: 9.3333."),
        ("forward", "what-is-the-loss", "-14/3", "The size is right, but not the sign."),
        ("forward", "what-is-the-loss", "4.66", "Close: type one more digit, or round the last one."),
        ("accumulate", "what-is-m-grad-then", "-11", "Close: type one more digit, or round the last one."),
        ("accumulate", "what-is-m-grad-after-the-second-pass", "an error", "It would be one if the same graph ran twice"),
    ],
)
def test_a_guess_of_another_form_gets_a_word_about_it(look: Look, lesson: str, name: str, guess: str, reply: str) -> None:
    page = look(1440, "light")
    page.goto(f"/lessons/{lesson}")
    question = page.locator(f"[data-task=predict][data-name={name}]")
    question.locator("input[type=text]").fill(guess)
    question.get_by_role("button", name="Check").click()
    expect(question.locator(".guesses .reply p").first).to_contain_text(reply)


@pytest.mark.parametrize(
    ("lesson", "name", "guesses"),
    [
        ("autograd", "what-is-x-grad", ["4, 5.3, 6.7", "[4., 16/3, 20 / 3]"]),
        ("backward", "what-is-m-grad", ["- 9.3333", "−28 / 3", "-9.3"]),
        ("vanishing", "what-is-the-largest-gradient", ["1.5e-5", "0.25**8", "(1/4)^8", "2 ** -16", "1/65536"]),
    ],
)
def test_a_right_guess_may_be_written_in_several_ways(look: Look, lesson: str, name: str, guesses: list[str]) -> None:
    page = look(1440, "light")
    page.goto(f"/lessons/{lesson}")
    question = page.locator(f"[data-task=predict][data-name^={name}]").first
    for guess in guesses:
        question.locator("input[type=text]").fill(guess)
        question.get_by_role("button", name="Check").click()
        expect(question.locator(".guesses")).to_contain_text(f"{guess}: right.")


def test_the_tasks_of_a_lesson_are_done_by_keyboard(look: Look) -> None:
    page = look(1440, "light")
    open_lesson(page)
    # a question: its answer is blank in the text and in the output of a cell, until it is guessed
    question = page.locator("[data-task=predict]").nth(1)
    expect(question).to_have_attribute("data-answer", "−9.3333", timeout=60_000)
    blanks = page.locator("article .blank")
    hidden = blanks.count()
    # …and in the graph and its tooltips, wherever its node appears
    leaf = page.locator("#canvas .node.leaf").first
    last = page.locator("[data-view]").last
    last.evaluate("each => each.scrollIntoView({block: 'start'})")
    expect(leaf.locator("[data-field=grad]")).to_have_text("?")
    expect(leaf.locator("title")).not_to_contain_text("−9.3333")
    expect(leaf.locator("[data-field=value]")).to_have_text("1.0000")
    question.locator("input").fill("-4")
    page.keyboard.press("Enter")
    expect(question.locator(".reply")).to_contain_text("each part is first multiplied by its own x")
    question.locator("input").fill("-9.33")
    page.keyboard.press("Enter")
    expect(question.locator(".products")).to_contain_text("−6.0000")  # the worked product
    assert blanks.count() < hidden
    last.evaluate("each => each.scrollIntoView({block: 'start'})")
    expect(leaf.locator("[data-field=grad]")).to_have_text("−9.3333")
    # a number to drag: graph, text and slope follow
    drag = page.locator("[data-task=drag]").first
    drag.locator("input[type=range]").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#canvas .node.leaf").first).to_contain_text("1.5000")
    expect(drag.locator(".readings")).to_contain_text("finite difference −4.6667", timeout=60_000)
    expect(page.locator("article data.num", has_text="−4.6667").first).to_be_visible()
    drag.get_by_role("button", name="Reset").press("Enter")
    expect(page.locator("#canvas .node.leaf").first).to_contain_text("−9.3333")
    # code to write
    write = page.locator("[data-task=write]").first
    write.scroll_into_view_if_needed()
    code = write.locator(".cm-content")
    code.focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("dm = (2 * (m * x - y)).mean()")
    page.keyboard.press("Control+Enter")
    expect(write.locator(".verdict .reply")).to_contain_text("That stops at y_pred", timeout=60_000)
    page.keyboard.press("Control+A")
    page.keyboard.type("dm = (2 * (m * x - y) * x).mean()")
    page.keyboard.press("Control+Enter")
    expect(write.locator(".verdict")).to_contain_text("Right.", timeout=60_000)
    expect(page.locator(".rail li.done")).to_have_count(3)


def test_a_fixed_program_is_shown_on_the_stage(look: Look) -> None:
    page = look(390, "light")
    page.goto("/lessons/update")
    fix = page.locator("[data-task=break-fix]").first
    fix.get_by_role("button", name="Show the solution").click(
        timeout=60_000
    )  # the task's program is shown as soon as it has the focus
    expect(page.locator("#stage-name")).to_have_text("train")
    fix.get_by_role("button", name="Run").click()
    expect(fix.locator(".verdict")).to_contain_text("Fixed", timeout=60_000)
    expect(page.locator("#deck .count")).to_contain_text("of 0–2")  # its three steps, where the faulty program had two
    inside = """() => {
        const deck = document.querySelector("#deck .keys").getBoundingClientRect();
        return [...document.querySelectorAll("#deck .keys .key")].map(each => each.getBoundingClientRect())
            .every(each => !each.width || each.left > deck.left - 1 && each.right < deck.right + 1 && each.top > deck.top - 1);
    }"""
    assert page.evaluate(inside), "a key is outside of the row of keys"


@pytest.mark.parametrize("theme", THEMES)
def test_axe_reports_no_violation_in_lessons(look: Look, theme: str) -> None:
    page = look(1440, theme)
    page.goto("/lessons")
    assert not violations(page)
    open_lesson(page)
    for width in (1440, 1024, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert not outside(page)
        assert not violations(page)
    # on a phone, the graph stays in view above the text
    page.locator("[data-view]").nth(3).evaluate("each => each.scrollIntoView({block: 'center'})")
    stage = page.locator("#stage").bounding_box()
    assert stage
    assert (stage["y"], stage["width"]) == (48, 390)


def test_the_first_of_many_nodes_in_focus_is_whole_on_a_phone(look: Look) -> None:
    page = look(390, "light")
    open_recorded(page, "/lessons/leaves")
    first = page.locator("#canvas .node:not(.dim)").filter(has_text=re.compile("^a"))
    expect(first).to_be_visible()
    page.wait_for_function(
        "node => { const { left, right } = node.getBoundingClientRect(); return left >= 0 && right <= innerWidth; }",
        arg=first.element_handle(),
    )


def test_the_nodes_beside_the_first_one_in_focus_are_shown_if_they_fit(look: Look) -> None:
    page = look(1440, "light")
    open_recorded(page, "/lessons/vanishing")
    page.get_by_text("What arrives is").scroll_into_view_if_needed()
    expect(page.locator("#stage-name")).to_have_text("residual")
    page.wait_for_function(
        """() => {
            const view = document.querySelector("#canvas").getBoundingClientRect();
            const nodes = [...document.querySelectorAll("#canvas .node")].map((each) => each.getBoundingClientRect());
            const seen = nodes.filter((each) => each.bottom > view.top && each.top < view.bottom);
            return seen.length > 3 && seen.every((each) => each.left >= view.left && each.right <= view.right);
        }"""
    )


@pytest.mark.parametrize(
    ("lesson", "question", "stated"),
    [
        ("optimizers", "What is m after Adam's first step", "article .prose p"),  # in the text, two questions ask for it
        ("broadcasting", "What is b.grad", "article .seen li"),  # a task to drag has it at its first value
    ],
)
def test_an_answer_is_covered_wherever_the_lesson_states_it(look: Look, lesson: str, question: str, stated: str) -> None:
    page = look(1440, "light")
    open_recorded(page, f"/lessons/{lesson}")
    asked = page.locator("[data-task=predict]", has=page.get_by_role("heading", name=question))
    last = page.locator(stated, has=page.locator(".blank")).last
    expect(last).to_be_attached()
    covered = last.element_handle()
    assert covered
    for each in asked.all():
        assert covered.query_selector(".blank")
        each.get_by_role("button", name="Show the answer").click()
    page.wait_for_function("each => !each.querySelector('.blank')", arg=covered)


def test_the_stage_hides_a_parameter_after_an_update_that_a_question_asks_for(look: Look) -> None:
    page = look(1440, "light")
    open_recorded(page, "/lessons/optimizers")
    passage = page.locator("[data-view]", has_text="the first step is as long as the learning rate")
    for _ in range(60):
        page.keyboard.press("j")
        if "reading" in (passage.get_attribute("class") or ""):
            break
    expect(passage).to_have_class(re.compile("reading"))
    value = page.locator("#canvas .node.leaf [data-field=value]").first
    expect(page.locator("#stage-name")).to_have_text("adam")
    expect(value).to_have_text("1.0000 → ?")
    for asked in page.locator("[data-task=predict]", has_text="after Adam's first step").all():
        asked.get_by_role("button", name="Show the answer").click()
    expect(value).to_have_text("1.0000 → 1.1000")


def test_a_lesson_without_scripts_shows_its_pictures(browser: Browser, server: str) -> None:
    with browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844}) as context:
        page = context.new_page()
        page.goto(server + LESSON)
        picture = page.locator("figure.still img").first
        picture.scroll_into_view_if_needed()
        expect(picture).to_be_visible()
        page.locator("details.solution summary").first.click()
        expect(page.locator("details.solution pre").first).to_contain_text("(2 * (m * x - y) * x).mean()")
        expect(page.locator("#stage")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
