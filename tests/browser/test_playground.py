"""Programs run on the playground, and their recordings are shown."""

from __future__ import annotations

import base64
import json
import re
import threading
import zlib
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, expect

from .conftest import THEMES, Problems
from .programs import FAN_IN, FIT, LAST_SECTION, node, open_run, run, value, write
from .test_layout import Look, outside, violations

NOTEBOOK = Path(__file__).parent.parent / "seed" / "autograd_and_backpropagation.ipynb"

SLIGHTLY_WRONG = """\
import torch
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x
    @staticmethod
    def backward(ctx, grad):
        return grad * 2.02 * ctx.saved_tensors[0]
w = torch.tensor([1.0, 2.0], requires_grad=True)
loss = Square.apply(w).sum()
loss.backward()
"""

OUT_OF_VIEW = """() => {
    const view = document.querySelector("#canvas").getBoundingClientRect();
    return [...document.querySelectorAll("#canvas :is(.node, .taker)")].filter(each => {
        const box = each.getBoundingClientRect();
        return box.left < view.left - 1 || box.top < view.top - 1 || box.right > view.right + 1 || box.bottom > view.bottom + 1;
    }).map(each => each.textContent.slice(0, 20));
}"""
"""The nodes that are cut off by the border of the graph."""
LARGE = """\
import torch
w = (1 + torch.arange(400.).reshape(40, 10)).requires_grad_()
x = torch.full((40, 10), 0.0625)
x[39, 9] = 0.25
x[3, 2] = -1
h = (x * w).sqrt()
loss = (h ** 2).mean()
loss.backward()
"""


def test_a_pasted_program_runs_and_the_inspector_explains_the_gradient_of_m(page: Page) -> None:
    open_run(page, LAST_SECTION)
    node(page, "y_pred - y").click()
    inspector = page.locator("#inspected")
    expect(inspector.locator("h3")).to_have_text("y_pred - y")
    node(page, "m").click()
    expect(inspector.locator("h3")).to_have_text("m")
    expect(inspector).to_contain_text("Where does −9.3333 come from?")
    expect(inspector.locator(".worked .total")).to_contain_text("−9.3333")
    expect(inspector.locator(".worked tbody tr").first).to_contain_text("−0.6667×1.0000=−0.6667")
    expect(node(page, "m")).to_contain_text("−9.3333")
    edge = page.locator("#canvas .edge", has_text="y_pred = m * x → m")
    expect(edge.locator("[data-field=grad]")).to_have_text("−9.3333")
    expect(edge.locator(".factor")).to_have_text("× x, then Σ")
    expect(inspector.locator(".flows .factor")).to_have_text("× x, then Σ")
    bars = inspector.locator(".route i").evaluate_all("all => all.map(each => parseFloat(each.style.width))")
    assert bars[1] > 30, "0.58 of 9.33 is a short bar on a linear scale"
    inspector.get_by_role("button", name="Check against the numeric slope").click()
    expect(inspector.locator(".check .verdict")).to_contain_text("✓ differs by")
    expect(page.locator("#canvas .verdict.right")).to_have_count(1)
    page.keyboard.press("q")
    expect(page.locator(".qr")).to_be_visible()
    assert not violations(page)  # the check and the QR code
    page.keyboard.press("Escape")
    node(page, "(y_pred - y) ** 2").click()
    expect(inspector.locator(".flows", has_text="to y_pred - y").locator(".factor")).to_have_text("× 2 (y_pred − y)")
    inspector.get_by_role("button", name="Check by calling it again").click()
    expect(inspector.locator(".check")).to_contain_text("✓ PowBackward0, called again with the arrived gradient")
    badges = page.locator("#canvas .verdict.right")
    expect(badges).to_have_count(2)
    page.locator(".phase.forward").click()
    expect(badges).to_have_count(2)
    expect(node(page, "m")).to_have_attribute("aria-description", "The gradient was checked and is right.")


def test_the_distribution_of_a_large_tensor_is_shown_on_demand_with_its_first_nan(page: Page) -> None:
    open_run(page, LARGE)
    inspector = page.locator("#inspected")
    node(page, "h = (x * w).sqrt()").click()
    inspector.get_by_role("button", name="Show the distribution").press("Enter")
    value, gradient = (inspector.locator(".distribution figure").nth(index) for index in range(2))
    expect(value.get_by_role("img", name="Distribution of the value: from 0.2500 to 10.0000")).to_be_visible()
    expect(value.locator(".bar")).to_have_count(24)
    expect(value.locator("h4")).to_contain_text("399 of 400 are finite")
    expect(value.locator(".flows")).to_contain_text("largest [39, 9]10.0000")
    expect(value.locator(".flows")).to_contain_text("first NaN [3, 2]NaN")
    expect(gradient.locator(".flows")).to_contain_text("first NaN [3, 2]NaN")
    expect(value.get_by_text("Bins")).to_be_focused()
    page.keyboard.press("Enter")
    counts = [int(count) for count in value.get_by_role("table", name="by bin").locator("td").all_inner_texts()]
    assert sum(counts) == 399
    for theme in THEMES:
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        assert not violations(page)
    node(page, "loss = (h ** 2).mean()").click()
    expect(inspector.locator("h3")).to_contain_text("loss")
    expect(inspector.locator(".distribution")).to_be_hidden()


RECURRENT = """\
import torch
from torch import nn
torch.manual_seed(0)
x, y = torch.randn(6, 5, 3), torch.randint(0, 2, (6,))
lstm, head = nn.LSTM(3, 4), nn.Linear(4, 2)
out, _ = lstm(x)
scores = head(out[:, -1])
loss = nn.functional.cross_entropy(scores, y)
loss.backward()
"""


def test_the_inspector_shows_which_samples_reach_which_predictions(page: Page) -> None:
    open_run(page, RECURRENT)
    inspector = page.locator("#inspected")
    node(page, "scores = head(out[:, -1])").dispatch_event("click")
    inspector.get_by_role("button", name="Which rows of the data reach which here?").press("Enter")
    figure = inspector.locator(".dependence figure")
    expect(figure.locator("h4")).to_have_text("Rows of x that reach herelater rows too")
    expect(figure.locator(".remark")).to_contain_text("They are first mixed by out on line 6.")
    expect(figure.locator(".own")).to_have_count(6)
    expect(figure.locator(".other")).to_have_count(15)
    expect(figure.get_by_text("Rows", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    reached = figure.get_by_role("table", name="Rows that each row of x reaches").locator("td")
    expect(reached).to_have_text(["0–5", "1–5", "2–5", "3–5", "4–5", "5"])
    for theme in THEMES:
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        assert not violations(page)


def test_the_elements_of_a_small_matrix_are_a_table_with_colours_that_diverge_from_zero(look: Look) -> None:
    page = look(390, "light")
    open_run(
        page,
        "import torch\nW = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.25, -0.5]], requires_grad=True)\n"
        "k = torch.tensor([[1e-3, -2e-3, float('nan')], [0.0, 1e-3, 1e-3]])\n(W * k).sum().backward()\n",
    )
    node(page, "W").dispatch_event("click")  # the run opens at its finding
    page.locator("[data-jump=inspector]").click()
    value, gradient = page.get_by_role("table", name="W, element"), page.get_by_role("table", name="W.grad, element")
    expect(value.get_by_role("columnheader")).to_have_text(["0", "1", "2"])
    expect(value.get_by_role("row").nth(1)).to_have_text("01.0000−2.00000.5000")
    expect(value.get_by_title("W[0, 1] = −2.0000")).to_be_visible()
    expect(gradient.get_by_role("row").nth(1)).to_have_text("01.0000−2.0000NaN")
    expect(page.locator(".heat", has=gradient)).to_contain_text("× 1e−3")
    cells = value.locator("tbody td")
    for theme in THEMES:
        page = look(390, theme)
        colours = cells.evaluate_all("all => all.map(each => getComputedStyle(each).backgroundColor)")
        assert len(set(colours)) == 6, "0.5 and −0.5 have the same distance from zero, but not the same colour"
        assert not violations(page)
    assert not outside(page)


def test_a_backward_that_is_wrong_by_one_percent_gets_a_badge(page: Page) -> None:
    open_run(page, SLIGHTLY_WRONG)
    node(page, "w").click()
    page.locator("#inspected").get_by_role("button", name="Check against the numeric slope").click()
    expect(page.locator("#canvas .verdict.wrong")).to_have_text("✗")
    expect(node(page, "w")).to_have_attribute("aria-description", "The gradient was checked and is wrong.")


def test_the_first_visit_fits_and_its_play_shows_the_gradient_flow_from_the_loss(page: Page) -> None:
    for width, height in ((1280, 640), (1366, 768), (1440, 900)):
        page.set_viewport_size({"width": width, "height": height})
        page.goto("/")
        expect(page.locator("#inspected")).to_contain_text("Where does −9.3333 come from?")
        cut = page.evaluate(OUT_OF_VIEW)
        assert not cut, f"{width} × {height}: {cut}"
    expect(page.locator(".tagline")).to_be_visible()
    expect(page.locator("[data-phase=backward][aria-pressed=true]")).to_be_visible()
    expect(node(page, "m")).to_have_class(re.compile("selected"))
    assert page.url.endswith("/"), "the address does not change before the first move"
    expect(page.locator(".legend [data-legend=slash]")).to_be_hidden()  # this picture has no detached tensor
    phases = page.evaluate(
        """async () => {
            const seen = [];
            const look = () => seen.push(document.querySelector("[data-phase][aria-pressed=true]").dataset.phase);
            const watcher = new MutationObserver(look);
            const phases = document.querySelector(".phases");
            watcher.observe(phases, {subtree: true, attributes: true, attributeFilter: ["aria-pressed"]});
            document.querySelector(".key.play").click();
            while (seen.at(-1) !== "update") await new Promise(requestAnimationFrame);
            return [...new Set(seen)];
        }"""
    )
    assert phases == ["forward", "loss", "backward", "update"]
    expect(page.locator("#canvas .taker")).to_be_visible()
    expect(page.get_by_role("button", name="Play (Space)")).to_be_visible()
    for seen in (page.locator("#canvas .taker"), page.locator("#canvas .node.root")):
        expect(seen).to_be_in_viewport(ratio=0.95)  # the card of the new m moves the picture, and does not cut off the loss


def test_values_at_the_ends_of_lines_select_their_nodes(page: Page) -> None:
    open_run(page, LAST_SECTION)
    expect(value(page, 8)).to_have_text("4.6667")
    expect(value(page, 11)).to_have_text("m.grad = −9.3333")
    expect(value(page, 15)).to_have_text("·")
    page.locator(".phase.update").click()
    expect(value(page, 15)).to_have_text("m = 1.0933, not a leaf")
    expect(page.locator("#inspected")).to_contain_text(
        "m then refers to another tensor from line 15: 1.0933, made by SubBackward0"
    )
    page.locator(".phase.backward").click()
    value(page, 7).click()
    expect(page.locator("#inspected h3")).to_have_text("y_pred = m * x")
    expect(page.locator(".cm-picked")).to_contain_text("y_pred = m * x")
    expect(page.locator(".cm-picked-span").first).to_be_visible()


def test_the_graph_of_a_displayed_tensor_without_a_backward_pass_can_be_shown(page: Page) -> None:
    open_run(page, LAST_SECTION)
    value(page, 16).click()
    expect(node(page, "m = m - learning_rate * m.grad")).to_contain_text("SubBackward0")
    expect(page.locator("#inspected")).to_contain_text("No backward pass reaches this graph")
    for title, number in (("m = m - learning_rate * m.grad", "1.0933"), ("m", "1.0000")):  # as the editor shows them
        expect(node(page, title).locator("[data-field=value]")).to_have_text(number)
    shaft = page.locator("#canvas .shaft").first
    assert float(shaft.get_attribute("data-length") or 0) >= 24, "as long as an arrow with a label"
    page.get_by_label("Graph", exact=True).select_option(label="loss.backward(), line 11")
    expect(node(page, "loss = ((y_pred - y) ** 2).mean()")).to_be_visible()


def test_gradients_that_arrive_along_several_edges_are_listed_with_their_sum(page: Page) -> None:
    open_run(page, FAN_IN)
    node(page, "x").click()
    arrived = page.locator("#inspected .flows").first
    expect(arrived.locator("tr")).to_have_count(4)
    expect(arrived).to_contain_text("3.0000")
    expect(arrived.locator(".total")).to_have_text(re.compile("Σ of these8.0000"))


def test_an_opened_notebook_runs_and_shows_outputs_under_its_cells(page: Page) -> None:
    page.goto("/")
    page.locator("#file").set_input_files(NOTEBOOK)
    expect(page.locator("#status")).to_contain_text("2 steps")
    outputs = page.locator(".cm-below.output")
    expect(outputs.first).to_contain_text("requires_grad=True")
    page.get_by_role("button", name="Last step").click()
    page.locator(".phase.update").click()
    page.locator(".cm-scroller").evaluate("box => box.scrollTo(0, box.scrollHeight)")
    expect(outputs.filter(has_text="tensor(1.0933, grad_fn=<SubBackward0>)")).to_be_visible()
    page.get_by_role("button", name="First step").click()
    graphs = page.get_by_label("Graph", exact=True)
    graphs.select_option(label="4 * y / 3, line 15")
    expect(node(page, "4 * y / 3")).to_contain_text("DivBackward0")
    graphs.select_option(label="loss, line 34")  # a pass of a later step reaches this graph
    expect(page.locator(".count b")).to_have_text("1")


def test_a_notebook_can_be_dropped_on_the_page(page: Page) -> None:
    page.goto("/")
    content = json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
        for source in ("import torch\nx = torch.tensor(2.0, requires_grad=True)", "(x ** 3).backward()\nx.grad")
    ] + [{"cell_type": "markdown", "metadata": {}, "source": "# Cube\nThe end."}]})  # fmt: skip
    page.evaluate(
        """content => {
            const carried = new DataTransfer();
            carried.items.add(new File([content], "cube.ipynb"));
            document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: carried, bubbles: true, cancelable: true}));
        }""",
        content,
    )
    expect(page.locator(".cm-below.output")).to_have_text("tensor(12.)")
    expect(page.locator(".cm-cell")).to_have_attribute("data-cell", "cell 2")
    before = page.url
    page.locator("#run").click()  # the editor's text is still a notebook
    expect(page).not_to_have_url(before)
    expect(page.locator(".cm-below.output")).to_have_text("tensor(12.)")
    expect(page.locator(".cm-prose p")).to_have_text(["Cube", "The end."])


def test_an_invalid_notebook_shows_an_error_and_keeps_the_page(page: Page, problems: Problems) -> None:
    problems.expect("Failed to load resource.*(400|422)")
    page.goto("/")
    page.locator("#file").set_input_files({"name": "x.ipynb", "mimeType": "application/json", "buffer": b"\x00\x01\x02"})
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.locator("#run")).to_be_enabled()
    expect(node(page, "m")).to_be_visible()


def test_an_error_is_shown_at_its_line_with_its_columns(page: Page) -> None:
    page.goto("/")
    write(page, "import torch\nx = torch.ones(3)\ny = x.view(2, 2)")
    page.keyboard.press("ControlOrMeta+Enter")
    failed = page.locator(".cm-line.cm-failed")
    expect(failed).to_contain_text("y = x.view(2, 2)")
    expect(failed.locator(".cm-value")).to_have_text("RuntimeError")
    expect(page.locator(".cm-caret")).to_have_text("x.view(2, 2)")
    expect(page.locator(".cm-below.error")).to_contain_text("shape '[2, 2]' is invalid for input of size 3")
    expect(page.locator("#status")).to_have_text("RuntimeError on line 3")
    expect(page.locator("#canvas")).to_contain_text("Stopped before the first backward()")
    expect(page.locator(".legend")).to_be_hidden()  # there is no graph to read or to zoom
    expect(page.locator("#zooming")).to_be_hidden()


def test_after_a_failed_pass_the_inspector_reports_that_no_gradient_arrived(page: Page) -> None:
    page.goto("/")
    write(page, "import torch\nx = torch.ones(2, requires_grad=True)\ny = (x * x).sum()\ny.backward()\ny.backward()")
    page.keyboard.press("ControlOrMeta+Enter")
    expect(page.locator("#status")).to_have_text("RuntimeError on line 5")
    node(page, "x").click()
    expect(page.locator(".inspector")).to_contain_text("No gradient arrived in this pass.")
    expect(page.locator(".inspector")).not_to_contain_text("come from?")


def test_a_finding_leads_to_its_step_and_node_and_marks_its_line(page: Page) -> None:
    page.goto("/")
    write(
        page,
        "import torch\nw = torch.ones(2, requires_grad=True)\nfor step in range(3):\n    h = w.exp()\n"
        "    loss = (h * h).sum()\n    if step == 2: h += 1\n    loss.backward()",
    )
    page.keyboard.press("ControlOrMeta+Enter")
    expect(page.locator("#status")).to_have_text("RuntimeError on line 7")
    expect(page.locator(".cm-lineNumbers .cm-found-number")).to_have_text("6")
    finding = page.locator("#found li")
    expect(finding).to_contain_text("Line 6 changes a tensor in place, but h * h on line 5 still needs its old values.")
    page.locator(".phase.forward").click()
    finding.get_by_role("button", name="line 6").click()
    raised = page.locator("#canvas .node.failed")
    expect(raised).to_have_count(1)
    expect(raised).to_have_class(re.compile("selected"))
    expect(page.locator("#inspected")).to_contain_text("nothing: the pass stopped here")
    expect(page.locator("#chosen")).to_have_value("pass 2")


def test_a_process_that_exits_keeps_its_recording_and_reports_its_exit_status(page: Page) -> None:
    page.goto("/")
    write(page, "import os, torch\nx = torch.ones(2, requires_grad=True)\n(x * 2).sum().backward()\nos._exit(3)")
    page.keyboard.press("ControlOrMeta+Enter")
    ended = "The program ended its own process with exit status 3."
    expect(page.locator("#status .bad")).to_have_attribute("title", ended)
    expect(node(page, "x").locator("[data-field=grad]")).to_have_text("[2.0000, 2.0000]")


def test_a_long_path_from_the_loss_is_shortened_to_its_ends(page: Page) -> None:
    page.goto("/")
    write(page, "import torch\nx = torch.ones((), requires_grad=True)\nsum([x * 2] + [1] * 60).backward()")
    page.keyboard.press("ControlOrMeta+Enter")
    expect(page).to_have_url(re.compile("/r/"))
    expect(page.locator("#inspected")).to_contain_text("1st of 63")  # in a large graph the root is selected first
    here = page.url.partition("?")[0]
    page.goto(f"{here}?layout=nodes")
    expect(page.locator("#canvas .node.selected.root")).to_have_count(1)
    nodes = page.request.get(f"{here.replace('/r/', '/api/v1/runs/')}/graphs/g0").json()["nodes"]
    page.goto(f"{here}?node={next(each['id'] for each in nodes if each['kind'] == 'leaf')}")
    expect(page.locator(".route tr")).to_have_count(21)
    expect(page.locator(".route")).to_contain_text("… 43 more nodes …")


def test_a_syntax_error_is_marked_in_the_editor(page: Page) -> None:
    page.goto("/")
    write(page, "import torch\nx = torch.ones(3")
    page.keyboard.press("ControlOrMeta+Enter")
    expect(page.locator(".cm-line.cm-failed .cm-value")).to_have_text("SyntaxError")
    expect(page.locator(".cm-caret")).to_have_text("(")


def test_applying_the_fix_of_a_finding_removes_the_finding(page: Page) -> None:
    open_run(page, LAST_SECTION)
    finding = page.locator("#found li")
    expect(finding).to_contain_text("makes m a new tensor")
    expect(finding.locator("del")).to_contain_text("m = m - learning_rate * m.grad")
    expect(finding.locator("ins").last).to_contain_text("m -= learning_rate * m.grad")
    finding.get_by_role("button", name="Apply fix and run").click()
    expect(page.locator("#found li")).to_have_text(["✓Fixed: leaf-rebound"])
    expect(page.locator("#found-summary")).to_have_text("nothing to report")
    expect(page.locator(".cm-content")).to_contain_text("with torch.no_grad():")
    expect(page.locator("#status")).to_contain_text("1 step")
    page.locator(".phase.update").click()
    expect(page.locator("#inspected")).to_contain_text("m after the update1.0933")


def test_the_address_follows_steps_forwards_and_backwards(page: Page) -> None:
    open_run(page, FIT)
    expect(page.locator(".count")).to_contain_text("step0of 0–3")
    expect(page.get_by_role("button", name="Previous step")).to_be_disabled()
    page.get_by_role("button", name="Next step").click()
    expect(node(page, "m")).to_contain_text("−4.9778")
    expect(page).to_have_url(re.compile("step=1"))
    page.get_by_role("button", name="Last step").click()
    expect(page.locator(".count b")).to_have_text("3")
    page.get_by_role("button", name="Previous step").click()
    expect(node(page, "m")).to_contain_text("−2.6548")
    expect(value(page, 7)).to_have_text("0.3776")
    expect(page.locator(".tape .played .curve")).to_be_visible()
    page.reload()
    expect(page.locator(".count b")).to_have_text("2")
    expect(node(page, "m")).to_contain_text("−2.6548")


def test_before_backward_no_gradient_is_shown(page: Page) -> None:
    open_run(page, FIT)
    page.locator(".phase.forward").click()
    expect(node(page, "m").locator("[data-field=grad]")).to_have_text("None")
    expect(node(page, "y_pred = m * x").locator("[data-field=grad]")).to_have_text("·")
    expect(node(page, "m").locator("[data-field=value]")).to_be_visible()
    expect(page.locator("#inspected")).to_contain_text("Not computed yet")
    expect(value(page, 7)).to_have_text("·")
    expect(value(page, 6)).to_have_text("[1.0000, 2.0000, 3.0000]")


def test_an_endless_program_can_be_stopped_and_keeps_its_recording(page: Page) -> None:
    page.goto("/")
    write(
        page,
        "import torch\nx = torch.ones(2, requires_grad=True)\nwhile True:\n    (x * x).sum().backward()\n    x.grad = None",
    )
    page.keyboard.press("ControlOrMeta+Enter")
    expect(page.locator("#status")).to_contain_text("so far", timeout=8000)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_contain_text("Cancelled")
    expect(node(page, "x")).to_contain_text("[2.0000, 2.0000]")
    expect(page.locator(".count")).to_contain_text("stopped")


def test_an_edited_program_is_marked_and_its_values_turn_pale(page: Page) -> None:
    page.goto("/")
    page.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+End")
    page.keyboard.type("\nm.grad_fn")
    expect(page.locator("#status")).to_have_text("edited, not run yet")
    expect(page.locator(".cm-editor.cm-stale")).to_be_visible()
    expect(page.get_by_role("button", name="Apply fix and run")).to_be_disabled()


def test_a_link_can_carry_a_program(page: Page) -> None:
    page.goto("/#code=" + "import%20torch%0Aw%20%3D%20torch.tensor(3.%2C%20requires_grad%3DTrue)%0A(w%20*%20w).backward()")
    expect(node(page, "w")).to_contain_text("6.0000")
    page.goto("/#code=:" + packed(b"import torch\nv = torch.tensor(4., requires_grad=True)\n(v * v).backward()"))
    expect(node(page, "v")).to_contain_text("8.0000")
    page.goto("/#code=:" + packed(b"#" * 20_000_000))
    expect(page.get_by_role("alert")).to_contain_text("The program of the link is too large")
    page.goto("/#code=:damaged")
    expect(page.get_by_role("alert")).to_contain_text("The link is damaged")


def packed(program: bytes) -> str:
    """Return a program as the fragment of a link has it: raw DEFLATE in Base64."""
    compressor = zlib.compressobj(wbits=-15)
    return base64.urlsafe_b64encode(compressor.compress(program) + compressor.flush()).decode().rstrip("=")


def test_an_example_of_the_gallery_opens_and_runs(page: Page) -> None:
    with page.expect_response("**/examples/*.svg") as picture:
        page.goto("/examples?q=by+hand")
    assert picture.value.ok
    expect(page.locator("#matches")).to_have_text(re.compile(r"^\d+ of \d\d$"))
    expect(page.locator("#fit-by-hand")).to_be_visible()
    expect(page.locator("#gan")).to_be_hidden()
    page.get_by_role("searchbox").fill("")
    page.get_by_role("button", name="second derivatives").click()
    expect(page).to_have_url(re.compile(r"/examples\?tag=second\+derivatives$"))
    assert page.locator(".gallery > li:visible").evaluate_all("all => all.map(each => each.id)") == ["newton", "maml", "pinn"]
    page.get_by_role("button", name="second derivatives").click()
    page.get_by_role("link", name="Open: Fit y = 2x by hand").click()
    expect(page).to_have_url(re.compile(r"/\?example=fit-by-hand"))
    expect(page.locator("#status")).to_have_text(re.compile("^20 steps in .* sandboxed$"))
    expect(page.locator(".count")).to_contain_text("of 0–19")
    expect(page.locator("#example")).to_have_text("Fit y = 2x by hand")


def test_the_export_downloads_the_shown_picture(page: Page) -> None:
    open_run(page, FIT)
    page.get_by_role("button", name="Next step").click()
    page.locator("#export summary").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="SVG picture").click()
    assert "−4.9778" in Path(download.value.path()).read_text()


def test_back_returns_to_the_previous_run(page: Page) -> None:
    page.goto("/")
    run(page, FIT)
    page.locator(".key.last").click()
    expect(page).to_have_url(re.compile(r"\?step=3$"))
    write(
        page, "import torch\nw = torch.ones(2, requires_grad=True)\ny = w * 2\ny\n"
    )  # shows the graph of a value, without steps
    page.locator("#run").click()
    expect(page.locator(".cm-content")).to_contain_text("y = w * 2")
    expect(node(page, "y = w * 2")).to_be_visible()
    assert "parameter=" not in page.url
    page.go_back()
    expect(page.locator(".count")).to_have_text("step3of 0–3")
    expect(page.locator(".cm-content")).to_contain_text("for step in range(4)")
    expect(page).to_have_url(re.compile(r"\?step=3(&node=n0)?$"))  # the click into the program may have selected a node


def test_a_saved_run_is_readable_without_a_script(page: Page, browser: Browser, base_url: str) -> None:
    open_run(page, FIT)
    address = page.url
    context = browser.new_context(java_script_enabled=False, base_url=base_url)
    plain = context.new_page()
    plain.goto(address)
    expect(plain.locator(".listing")).to_contain_text("loss = ((y_pred - y) ** 2).mean()")
    expect(plain.locator("#L7 output")).to_have_text("4.6667")
    expect(plain.locator("svg.graph .node.leaf")).to_contain_text("−9.3333")
    expect(plain.locator(".plain")).to_contain_text("−9.3333")
    plain.get_by_role("link", name="Next step").click()
    expect(plain.locator("svg.graph .node.leaf")).to_contain_text("−4.9778")
    plain.get_by_role("link", name="Previous step").click()
    expect(plain.locator("svg.graph .node.leaf")).to_contain_text("−9.3333")
    context.close()


def test_the_first_page_shows_its_example_as_soon_as_it_is_recorded(page: Page, problems: Problems) -> None:
    problems.expect("status of 503")
    page.goto("/")
    state = json.loads(page.locator("#state").text_content() or "")
    recorded = threading.Event()

    def early(route: Route) -> None:
        """Answer like a server that has just started."""
        answer = route.fetch()
        changed = {**state, "run": None, "step": None, "graph": None, "svg_inline": False}
        text = re.sub(r"(?<=id=\"state\">).*?(?=</script>)", lambda _: json.dumps(changed), answer.text(), flags=re.DOTALL)
        route.fulfill(response=answer, body=text)

    def not_yet(route: Route) -> None:
        if recorded.is_set():
            route.fallback()
        else:
            route.fulfill(status=503, headers={"Retry-After": "0.1"}, json={"title": "Busy", "detail": "It is being recorded."})

    page.route(re.compile(r"//[^/]+/$"), early)
    page.route(re.compile(f"/runs/{state['recording']}$"), not_yet)
    page.goto("/")
    expect(page.get_by_role("heading", name="The example is being recorded")).to_be_visible()
    recorded.set()
    expect(page.locator("#canvas svg.graph .node")).to_have_count(7)
    expect(page.get_by_text("being recorded")).to_have_count(0)
    expect(page.locator("#deck .phase").first).to_be_visible()
