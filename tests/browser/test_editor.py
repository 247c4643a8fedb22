"""The editor keeps what was written, and names what was made of it."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from .programs import FIT, node, run

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
    expect(page.locator("a[data-format=png]")).to_have_attribute("download", re.compile(r"^fit-a-line-step-\d\.png$"))
    page.locator("#file").set_input_files({"name": "my fit.py", "mimeType": "text/x-python", "buffer": FIT.encode()})
    expect(page).to_have_title("my fit.py · Tapedeck")
    expect(page.locator("a[data-json]")).to_have_attribute("download", "my-fit.json")
