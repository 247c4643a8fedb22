"""The presenter's view has large type, notes and a QR code, and a link follows its playhead."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from .programs import LAST_SECTION, open_run, post
from .test_layout import violations

PROGRAM = """\
import torch
m = torch.tensor(1., requires_grad=True)
for step in range(3):
    # note: Ask which way m will move.
    loss = (m - 3) ** 2
    loss.backward()  # note: Point at the edge.
    with torch.no_grad():
        m -= 0.1 * m.grad
    m.grad = None
"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll("#canvas text, .stage .running, #deck .phase")]
    .filter(each => each.getClientRects().length)
    .map(each => parseFloat(getComputedStyle(each).fontSize)))
    * parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--large"))"""
INSIDE = """() => {
    const view = document.querySelector("#canvas").getBoundingClientRect();
    const cards = [...document.querySelectorAll("#canvas .node rect.border")].map(each => each.getBoundingClientRect());
    return cards.filter(each => each.top >= view.top && each.bottom <= view.bottom
        && each.left >= view.left && each.right <= view.right).length;
}"""
PROJECTORS = ((1280, 720), (1440, 900), (1920, 1080))


def test_a_run_is_presented_and_followed(page: Page) -> None:
    open_run(page, PROGRAM)
    page.keyboard.press("p")
    expect(page).to_have_url(re.compile("present=1"))
    for hidden in (".top", "#program", "#inspector", "#graph .pane-head"):
        expect(page.locator(hidden).first).to_be_hidden()
    assert not violations(page)
    with page.expect_popup() as opened:
        page.keyboard.press("n")
    notes = opened.value
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")
    expect(page.locator(".stage .running")).to_contain_text("loss = (m - 3)")
    expect(page.locator(".stage .running .value")).to_have_text("4.0000")
    page.keyboard.press("PageDown")
    expect(page.locator(".stage .running")).to_contain_text("loss.backward()")
    expect(page.locator(".stage .running .value.grad")).to_have_text("m.grad = −4.0000")
    expect(notes.locator(".now")).to_have_text("Point at the edge.")
    expect(notes.locator("li")).to_have_text(["Ask which way m will move.", "Point at the edge."])
    expect(page.locator("body")).not_to_contain_text("Point at the edge.", use_inner_text=True)  # the projected screen
    notes.keyboard.press("PageUp")  # a clicker, while the notes have the focus
    expect(notes.locator(".now")).to_have_text("Ask which way m will move.")
    notes.keyboard.press("PageDown")
    assert page.evaluate(SMALLEST) >= 20
    page.keyboard.press("b")
    expect(page.locator(".black")).to_be_visible()
    page.keyboard.press("b")
    expect(page.locator(".black")).to_be_hidden()

    page.keyboard.press("q")
    expect(page.locator(".qr img")).to_have_js_property("complete", True)
    page.keyboard.press("Escape")
    expect(page.locator(".qr")).to_be_hidden()
    page.keyboard.press("q")
    expect(page.get_by_role("region", name="Address of this page")).to_be_visible()
    page.get_by_role("button", name="Let others follow me").click()
    link = page.locator(".qr p")
    expect(link).to_have_text(re.compile(r"\?follow="))
    student = page.context.new_page()
    student.goto(link.text_content() or "")
    expect(student.get_by_text("You see what the teacher shows.")).to_be_visible()
    note, panes = student.locator(".following").bounding_box(), student.locator(".panes").bounding_box()
    assert note
    assert panes
    assert note["y"] + note["height"] <= panes["y"] + 1  # the strip covers nothing
    page.keyboard.press("q")
    page.keyboard.press("End")
    expect(student).to_have_url(re.compile("step=2"))
    student.get_by_role("button", name="Stop following").click()
    expect(student.get_by_text("You see what the teacher shows.")).to_be_hidden()
    page.keyboard.press("p")
    expect(page.locator("#program")).to_be_visible()


def test_a_follower_on_a_phone_sees_the_graph(page: Page, server: str) -> None:
    path = post(server, LAST_SECTION)
    answer = page.request.post(f"{server}/api/v1{path.replace('/r/', '/runs/')}/classrooms")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server}{answer.json()['links']['page']}")
    expect(page.get_by_text("You see what the teacher shows.")).to_be_visible()
    jump = page.get_by_role("navigation", name="Parts of the page")
    expect(jump.get_by_role("button", name="Graph")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#canvas svg.graph .node").first).to_be_in_viewport()


def test_a_projector_shows_the_whole_graph_of_a_fit_in_large_type(page: Page, server: str) -> None:
    path = post(server, LAST_SECTION)
    for width, height in PROJECTORS:
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{server}{path}?present=1")
        expect(page.locator("#deck .phase").first).to_be_visible()
        page.wait_for_function(f"({INSIDE})() === 7")  # five nodes and two constants
        assert page.evaluate(SMALLEST) >= 20


def test_a_graph_higher_than_the_screen_is_shown_where_something_happens(page: Page, server: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 520})
    path = post(server, PROGRAM.replace("(m - 3) ** 2", "((m - 3) * 2 + 1) ** 2 * 3"))
    page.goto(f"{server}{path}?present=1&step=0&phase=forward")
    seen = """node => {
        const [own, view] = [node, document.querySelector("#canvas")].map((each) => each.getBoundingClientRect());
        return own.top >= view.top - 1 && own.bottom <= view.bottom + 1;
    }"""
    root, leaf = page.locator("#canvas .node.root"), page.locator("#canvas .node.leaf")
    for _ in range(2):  # two steps
        page.wait_for_function(seen, arg=root.element_handle())
        assert not page.evaluate(seen, leaf.element_handle())
        for _ in range(3):
            page.keyboard.press("PageDown")
        page.wait_for_function(seen, arg=leaf.element_handle())
        page.keyboard.press("PageDown")
