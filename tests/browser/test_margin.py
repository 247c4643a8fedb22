"""The editor shows the values at the playhead beside each line, and keeps the current lines in view."""

from __future__ import annotations

import contextlib
import re

import pytest
from playwright.sync_api import Browser, Page, TimeoutError, expect

from .conftest import Problems
from .programs import FIT, LAST_SECTION, open_run, recorded, run, value, write

TURNS = """\
import torch
d = torch.tensor(1., requires_grad=True)
g = torch.tensor(2., requires_grad=True)
bias = 0.5
for epoch in range(3):
    a = (d * (epoch + 1)) ** 2
    a.backward()
    d.data -= 0.1 * d.grad
    d.grad = None
    b = (g + bias) ** 2
    b.backward()
    g.data -= 0.1 * g.grad
    g.grad = None
print("over", b.item())
b.item()
"""
REBOUND = FIT.replace("m -=", "m = m -")
LONG = "\n".join(
    [
        "import torch",
        *(f"# {line}" for line in range(2, 60)),
        "w = torch.ones(2, requires_grad=True)",
        "for step in range(3):",
        "    h = w * w",
        "    loss = h.sum()",
        *(f"    # {line}" for line in range(63, 100)),
        "    loss.backward()",
        "    w.data -= 0.1 * w.grad",
        "    w.grad = None",
    ]
)


def in_view(page: Page, text: str) -> bool:
    """Return whether a line with a text is completely in view in the editor."""
    found: bool = page.evaluate(
        """text => {
            const box = document.querySelector(".cm-scroller").getBoundingClientRect();
            const lines = [...document.querySelectorAll(".cm-line")];
            const line = lines.find((each) => each.textContent.includes(text))?.getBoundingClientRect();
            return Boolean(line) && line.top >= box.top - 1 && line.bottom <= box.bottom + 1;
        }""",
        text,
    )
    return found


def until_in_view(page: Page, text: str) -> None:
    """Wait until a line with a text is in view."""
    for _ in range(40):
        if in_view(page, text):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"{text!r} is not in view")


def test_a_line_that_did_not_run_in_the_step_shows_an_earlier_value_in_a_pale_colour(page: Page) -> None:
    open_run(page, TURNS)
    page.goto(page.url.partition("?")[0] + "?step=1")
    expect(value(page, 5)).to_have_text("epoch = 0")
    expect(value(page, 6)).to_have_text("1.0000")
    expect(value(page, 6)).to_have_class(re.compile("before"))
    expect(value(page, 6)).to_have_attribute("title", re.compile("^from step 0: "))
    expect(value(page, 4)).to_have_text("0.5")
    expect(value(page, 4)).not_to_have_class(re.compile("before"))  # the line ran once, before the loop
    expect(value(page, 10)).to_have_text("6.2500")
    expect(value(page, 15)).to_have_text("·")
    page.get_by_role("button", name="Next step").click()
    expect(value(page, 6)).to_have_text("2.5600")
    expect(value(page, 6)).not_to_have_class(re.compile("before"))
    expect(value(page, 10)).to_have_text("6.2500")
    expect(value(page, 10)).to_have_class(re.compile("before"))
    page.get_by_role("button", name="Previous step").click()
    expect(value(page, 6)).to_have_text("1.0000")
    page.get_by_role("button", name="Previous step").click()
    expect(value(page, 10)).to_have_text("·")
    expect(value(page, 10)).to_have_attribute("title", "not run yet")


def test_an_output_appears_under_its_cell_once_the_cell_has_run(page: Page) -> None:
    page.goto("/")
    expect(value(page, 17)).to_have_text("·")
    expect(page.locator(".cm-below.output")).to_have_text("·")
    expect(value(page, 13)).to_have_text("−9.3333")
    page.keyboard.press(",")  # autograd has not reached the leaf again: line 13 has not run
    expect(value(page, 13)).to_have_text("·")
    expect(value(page, 12)).to_have_text("4 of 5 nodes")
    page.locator(".phase.update").click()
    expect(value(page, 17)).to_have_text("1.0933")
    expect(page.locator(".cm-below.output")).to_have_text("tensor(1.0933, grad_fn=<SubBackward0>)")
    page.locator(".phase.forward").click()
    expect(page.locator(".cm-below.output")).to_have_text("·")
    run(page, TURNS)
    expect(page.locator(".cm-below.output")).to_contain_text("printed by the end of the run")
    page.get_by_role("button", name="Last step").click()
    page.locator(".phase.update").click()
    expect(page.locator(".cm-below.output")).not_to_contain_text("printed by")


def test_the_lines_at_the_playhead_stay_in_view_until_the_user_scrolls(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    open_run(page, LONG)
    page.locator(".cm-scroller").evaluate("box => box.scrollTo(0, 0)")
    page.locator(".phase.update").click()
    until_in_view(page, "w.grad = None")
    page.locator(".phase.loss").click()
    until_in_view(page, "loss = h.sum()")
    there = page.locator(".cm-scroller").evaluate("box => box.scrollTop")
    page.get_by_role("button", name="Next step").click()
    expect(page.locator(".count b")).to_have_text("1")
    assert page.locator(".cm-scroller").evaluate("box => box.scrollTop") == there, "lines in view must not move"
    page.locator(".phase.forward").click()
    page.get_by_role("button", name="Play (Space)").click()
    until_in_view(page, "loss.backward()")
    page.locator(".cm-scroller").hover()
    page.mouse.wheel(0, -5000)
    page.wait_for_timeout(1500)
    assert page.locator(".cm-scroller").evaluate("box => box.scrollTop") == 0, "no scrolling after the user's own"


def test_the_failed_line_is_in_view_and_findings_leave_room_for_the_program(page: Page) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto("/")
    one = "{0} = torch.ones(1, requires_grad=True)\n({0} * 2).backward()\n{0} = {0} - {0}.grad\n"
    pitfalls = "".join(one.format(name) for name in ("p", "q", "r"))
    write(page, f"{LONG}\n{pitfalls}w.view(7)\n")
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text("RuntimeError")
    until_in_view(page, "w.view(7)")
    expect(page.locator(".cm-below.error")).to_be_in_viewport()
    assert page.locator("#found li").count() >= 2
    room = page.locator(".cm-scroller").bounding_box()
    assert room is not None
    assert room["height"] > 12 * 22


def test_emptying_the_editor_removes_outputs_and_a_message_formats_its_code(page: Page, problems: Problems) -> None:
    problems.expect("Failed to load resource.*422")
    page.goto("/")
    expect(page.locator(".cm-below.output")).to_be_visible()
    page.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.press("Delete")
    expect(page.locator(".cm-below")).to_have_count(0)
    expect(page.locator(".cm-value")).to_have_count(0)
    page.locator("#run").click()
    alert = page.get_by_role("alert")
    expect(alert).to_be_visible()
    expect(alert).not_to_contain_text("`")
    page.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+Z")
    expect(page.locator(".cm-below.output")).to_be_visible()


def test_plain_values_are_formatted_like_tensors(page: Page) -> None:
    open_run(
        page,
        "import torch\nw = torch.ones(3, requires_grad=True)\nrate = 1 / 3\nplaces = torch.randint(0, 50, (100,))\n"
        "least, place = (w * torch.arange(3)).max(0)\n(grad,) = torch.autograd.grad(least, w)\npairs = [w, 0.5]\n",
    )
    expect(value(page, 3)).to_have_text("0.3333")
    expect(value(page, 3)).to_have_attribute("title", "0.3333333333333333")
    expect(value(page, 4)).to_have_text(re.compile(r"^\[100\] \d+ to \d\d$"))
    expect(value(page, 5)).to_have_text("2 tensors")
    expect(value(page, 7)).to_have_text("tensor, float")


TONES = """selector => [...document.querySelectorAll(selector)].map((line) => {
    const value = line.querySelector("output, .cm-value");
    const tones = ["off", "before", "bad"].filter((name) => value?.classList.contains(name));
    return value && [...tones, tones.includes("off") ? value.textContent : ""].join(" ");
})"""
"""Return the tones of the value beside each line, and the text of a value that is off. A line without a value has null."""
SAME = f"""rows => {{
    const shown = ({TONES})(".cm-line");
    return rows.every((row, index) => row === null || row === shown[index]);
}}"""


def test_the_page_without_a_script_shows_the_same_values(page: Page, browser: Browser, base_url: str) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=base_url)
    plain = context.new_page()
    for program in (TURNS, REBOUND, LAST_SECTION):
        answer = recorded(page, program)
        start, steps = f"/r/{answer['id']}", answer["steps"]
        page.goto(start)
        expect(page.locator(".cm-value").first).to_be_visible()
        for step in range(steps):
            for phase in ("forward", "loss", "backward", "update"):
                address, button = f"{start}?step={step}&phase={phase}", page.locator(f".phase.{phase}")
                if button.is_enabled():
                    button.click()
                else:
                    page.goto(address)
                plain.goto(address)
                expected = plain.evaluate(TONES, ".listing > li")
                assert set(expected) != {None}
                with contextlib.suppress(TimeoutError):
                    page.wait_for_function(SAME, arg=expected)
                assert page.evaluate(SAME, expected), (address, expected, page.evaluate(TONES, ".cm-line"))
            if step + 1 < steps:
                page.get_by_role("button", name="Next step").click()
                expect(page.locator(".count b")).to_have_text(str(step + 1))
    context.close()


def test_good_signs_are_counted_separately_from_notes(page: Page) -> None:
    open_run(page, FIT)
    expect(page.get_by_role("region", name="Findings")).to_contain_text("no pitfalls, 1 good sign")
