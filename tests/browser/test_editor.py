"""The editor keeps what was written, and names what was made of it."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from .programs import FAN_IN, FIT, node, open_run, run, run_another, value, write

Look = Callable[[int, str], Page]

SQUARE = "#code=import%20torch%0Aw%20%3D%20torch.tensor(3.%2C%20requires_grad%3DTrue)%0A(w%20*%20w).backward()"


def test_edits_that_were_not_run_survive_every_way_off_the_page(page: Page) -> None:
    page.goto("/")
    text, notice = page.locator(".cm-content"), page.locator("#draft")
    expect(page.locator("#status")).to_contain_text("sandboxed")
    text.click()
    page.keyboard.press("ControlOrMeta+End")
    page.keyboard.type("  # my change")
    page.get_by_role("link", name="Examples", exact=True).click()
    page.go_back()
    expect(text).to_contain_text("# my change")
    expect(notice).to_contain_text("Your edits from a moment ago are back.")
    page.reload()
    expect(text).to_contain_text("# my change")
    page.evaluate(f"location.hash = '{SQUARE}'")  # a link that is pasted into the open tab
    expect(node(page, "w")).to_contain_text("6.0000")
    expect(text).not_to_contain_text("# my change")
    page.go_back()
    page.go_back()
    expect(text).to_contain_text("# my change")
    page.get_by_role("button", name="Discard them").click()
    expect(text).not_to_contain_text("# my change")
    page.reload()
    expect(page.locator("#status")).to_contain_text("sandboxed")
    expect(text).not_to_contain_text("# my change")


def test_the_tab_and_the_exports_are_named_after_the_run(page: Page) -> None:
    page.goto("/")
    expect(page).to_have_title("Tapedeck")
    run(page, f"# Fit: a line!\n{FIT}")
    expect(page).to_have_title("Fit: a line! · Tapedeck")
    expect(page.locator("#export a[data-format=png]")).to_have_attribute("download", re.compile(r"^fit-a-line-step-\d\.png$"))
    page.locator("#file").set_input_files({"name": "my fit.py", "mimeType": "text/x-python", "buffer": FIT.encode()})
    expect(page).to_have_title("my fit.py · Tapedeck")
    expect(page.locator('#export a[data-whole=""]')).to_have_attribute("download", "my-fit.json")


def test_an_exported_run_that_is_opened_again_has_the_same_picture(page: Page, server: str) -> None:
    open_run(page, FIT)

    def shown() -> str:
        return page.url.split("?")[0].rpartition("/")[2]

    def picture() -> bytes:
        return page.request.get(f"{server}/api/v1/runs/{shown()}/passes/0/graph.svg").body()

    first, before = shown(), picture()
    for name in ("run.py", "run.ipynb", "run.json", "run.html"):
        path = {"run.py": "/program.py", "run.ipynb": "/notebook.ipynb", "run.json": "", "run.html": "/export.html"}[name]
        exported = page.request.get(f"{server}/api/v1/runs/{first}{path}").body()
        last = shown()
        page.locator("#file").set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": exported})
        page.wait_for_function("last => !location.pathname.endsWith(last)", arg=last)
        expect(page.locator("#status")).to_contain_text("4 steps")
        assert picture() == before, name
    page.locator("#file").set_input_files({"name": "page.html", "mimeType": "text/html", "buffer": b"<p>A page</p>"})
    expect(page.get_by_role("alert")).to_contain_text("is not a run that Tapedeck exported")


CALLS = """\
import torch

def inner(a):
    return a @ torch.ones(3, 3)

def outer(a):
    return inner(a)

x = torch.tensor([0.1, 2.0], requires_grad=True)
outer(x)
"""


def test_an_error_is_shown_with_the_calls_that_led_to_it_and_values_can_be_copied(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/")
    write(page, CALLS)
    page.locator("#run").click()
    calls = page.locator(".cm-below.error .calls li")
    expect(calls).to_have_text(["called in outer, line 7: return inner(a)", "called by the program, line 10: outer(x)"])
    marked = page.locator(".cm-line:has(.cm-caret)")
    expect(marked).to_contain_text(["return a @ torch.ones(3, 3)", "return inner(a)", "outer(x)"])
    calls.first.get_by_role("button").click()
    expect(page.locator(".cm-editor")).to_be_visible()
    value(page, 9).hover()
    page.locator(".cm-line").nth(8).locator(".cm-copy").click()
    expect(page.locator(".toast")).to_contain_text("Copied torch.tensor([0.1, 2.]")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "torch.tensor([0.1, 2.], requires_grad=True)"


def test_the_editor_finds_folds_completes_and_indents_wrapped_lines(look: Look) -> None:
    page = look(1440, "light")
    page.goto("/")
    long = f"    total = {' + '.join(['m * 1.0'] * 20)}"
    write(page, f"import torch\nimport torch.nn.functional as F\nm = torch.ones(2)\ndef f():\n{long}\n    return total\n")
    wrapped = page.locator(".cm-line", has_text="total = ")
    found = page.wait_for_function("""() => {
        const line = [...document.querySelectorAll(".cm-line")].find(line => line.textContent.includes("total = "));
        const range = document.createRange(), seen = new Map();
        range.selectNodeContents(line);
        for (const {left, top, width} of range.getClientRects())
            if (width) seen.set(Math.round(top), Math.min(left, seen.get(Math.round(top)) ?? 1e9));
        return seen.size > 1 && [...seen.entries()].sort(([a], [b]) => a - b).map(([, left]) => left);
    }""")  # the line is made again once the grammar has loaded
    rows = found.json_value()
    assert rows[1] > rows[0]

    page.keyboard.press("ControlOrMeta+End")
    page.keyboard.type("F.cross")
    offered = page.locator(".cm-tooltip-autocomplete li")
    expect(offered.first).to_have_text("cross_entropy")
    page.wait_for_timeout(200)  # CodeMirror ignores the keys of a list that has just opened, for 75 ms
    page.keyboard.press("Tab")
    expect(page.locator(".cm-line").last).to_have_text("F.cross_entropy")
    page.keyboard.press("Enter")
    page.keyboard.type("tot")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.keyboard.type("torch.tensor(3.).backw")
    expect(offered).to_have_text(["backward"])
    page.wait_for_timeout(200)
    page.keyboard.press("Enter")
    expect(page.locator(".cm-line").last).to_be_empty()  # Enter starts a new line
    page.keyboard.type("torch.ze")
    expect(offered.first).to_have_text("zeros")
    page.keyboard.press("ControlOrMeta+Enter")
    expect(offered).to_have_count(0)

    page.keyboard.press("ControlOrMeta+f")
    page.keyboard.type("total")
    expect(page.locator(".cm-searchMatch")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator(".cm-search")).to_have_count(0)

    page.locator(".cm-fold.open").first.click()
    expect(wrapped).to_have_count(0)
    page.get_by_role("button", name="Unfold the folded lines").click()
    expect(wrapped).to_have_count(1)


COLOURED = '''\
"""m.grad in
a string"""
m = torch.tensor(1., requires_grad=True)  # m, for
for i in range(3):
    s = f"m {i}" 'm.grad'; m.grad = m*1e-3 + x1
'''


def test_parameters_gradients_keywords_and_numbers_are_marked_outside_strings_and_comments(page: Page) -> None:
    page.goto("/")
    write(page, COLOURED)
    expect(page.locator(".tok-comment")).to_have_text(["# m, for"])
    expect(page.locator(".tok-keyword")).to_have_text(["for", "in"])
    expect(page.locator(".cm-param")).to_have_text(["m", "m", "m"])
    expect(page.locator(".cm-grad")).to_have_text(["grad"])
    expect(page.locator(".cm-pull")).to_have_text(["1.", "3", "1e-3"])


def test_my_runs_are_searched_renamed_opened_and_deleted(page: Page) -> None:
    page.goto("/")
    run(page, f"# Fit one line\n{FIT}")
    run_another(page, f"# Square\n{FAN_IN}")
    page.get_by_role("button", name="My runs").click()
    listed = page.get_by_role("dialog", name="My runs").locator("li")
    expect(listed).to_have_count(2)
    expect(listed.nth(0)).to_contain_text(re.compile("Square1 step · a moment ago · shown now"))
    expect(listed.nth(1).locator("img")).to_have_js_property("complete", True)
    assert listed.locator("img").evaluate_all("all => all.every(each => each.naturalWidth > 0)"), (
        "a run has its graph as a picture"
    )
    page.get_by_label("Search your runs").fill("fit LINE")
    expect(listed).to_have_count(1)
    page.get_by_role("button", name="Rename Fit one line").click()
    page.get_by_label("New title").fill("Second try")
    page.keyboard.press("Enter")
    page.get_by_label("Search your runs").fill("second")
    square = page.url.partition("?")[0]
    listed.get_by_role("button", name="Second try").first.click()
    expect(page).to_have_title("Second try · Tapedeck")
    expect(page.locator(".cm-content")).to_contain_text("for step in range(4)")
    expect(page).not_to_have_url(re.compile(re.escape(square)))
    page.reload()
    expect(page).to_have_title("Second try · Tapedeck")
    page.get_by_role("button", name="My runs").click()
    page.get_by_role("button", name="Delete Square").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(listed).to_have_count(1)


def test_a_run_names_the_run_that_it_was_edited_from_and_leads_back(page: Page) -> None:
    open_run(page, "# First try\n" + FIT)
    first = page.url
    note = page.locator(".edited-from")
    expect(note).to_be_hidden()
    run_another(page, "# Second try\n" + FIT.replace("0.05", "0.02"))
    expect(note).to_have_text("Edited from First try")
    second = page.url
    page.reload()
    expect(note).to_have_text("Edited from First try")
    page.locator("#runs").click()
    expect(page.locator(".run-list li", has_text="Second try")).to_contain_text("edited from First try")
    expect(page.locator(".run-list li").last).not_to_contain_text("edited from")
    page.keyboard.press("Escape")
    note.get_by_role("button", name="First try").click()
    expect(page).to_have_url(re.compile(re.escape(first.partition("?")[0])))
    expect(page.get_by_role("textbox", name="Program")).to_contain_text("0.05")
    expect(note).to_be_hidden()
    page.go_back()
    expect(page).to_have_url(re.compile(re.escape(second.partition("?")[0])))
    page.locator("#run").click()  # the same program again is not an edit
    expect(page).not_to_have_url(re.compile(re.escape(second.partition("?")[0])))
    expect(note).to_be_hidden()
