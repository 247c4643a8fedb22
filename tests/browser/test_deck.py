"""The deck plays a recording, and every instant shows the same numbers however it is reached."""

from __future__ import annotations

import contextlib
import json
import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Response, TimeoutError, expect
from tapedeck.assets import static_path

from .programs import FAN_IN, FIT, LAST_SECTION, node, open_run, recorded, run, run_another, value, write

PROGRAMS = Path(__file__).parent.parent / "programs"
ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "app" / "examples" / "programs"
SOURCES = ROOT / "static" / "src"

ACCUMULATE = """\
import torch
w = torch.tensor([1., 2.], requires_grad=True)
for step in range(3):
    loss = (w * w).sum()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
"""

ADAM = """\
import torch
w = torch.tensor(3., requires_grad=True)
optimizer = torch.optim.Adam([w], lr=0.5)
for step in range(6):
    optimizer.zero_grad()
    loss = (w - 1) ** 2
    loss.backward()
    optimizer.step()
"""

SLOW = """\
import time
import torch
w = torch.tensor(3., requires_grad=True)
for step in range(200):
    loss = (w - 1) ** 2
    loss.backward()
    with torch.no_grad():
        w -= 0.01 * w.grad
    w.grad = None
    time.sleep(0.04)
"""

SVG = "{http://www.w3.org/2000/svg}"
SHOWN = """() => Object.fromEntries(
    [...document.querySelectorAll("#canvas svg.graph :is([data-node], [data-edge])")].map(group => [
        (group.dataset.node ?? "") + " " + (group.dataset.edge ?? ""),
        [...group.querySelectorAll("title, [data-field], .shaft, .head")].map(each => [
            each.tagName,
            each.matches(".shaft, .head, [data-field]") ? each.getAttribute("class") : "",
            each.matches("title, text") ? each.textContent : "",
            each.getAttribute("stroke-width") ?? "",
            each.getAttribute("stroke-dasharray") ?? "",
            each.matches(".head") ? each.getAttribute("transform") : "",
        ])]))"""


SHOWS = f"""expected => {{
    const text = (groups) => JSON.stringify(Object.entries(groups).sort());
    return text(({SHOWN})()) === text(expected);
}}"""


def server_picture(svg: str) -> dict[str, list[list[str]]]:
    """Return the texts and styles of a picture from the server, in the order and format of ``SHOWN``."""
    found: dict[str, list[list[str]]] = {}
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        if group.get("data-node") is None and group.get("data-edge") is None:
            continue
        rows = []
        for each in group.iter():
            tag, classes = each.tag.removeprefix(SVG), (each.get("class") or "").split()
            drawn = "shaft" in classes or "head" in classes
            if tag == "title" or each.get("data-field") or drawn:
                rows.append(
                    [
                        tag,
                        "" if tag == "title" else each.get("class") or "",
                        each.text or "" if tag in ("title", "text") else "",
                        each.get("stroke-width") or "",
                        each.get("stroke-dasharray") or "",
                        each.get("transform") or "" if "head" in classes else "",
                    ]
                )
        found[f"{group.get('data-node') or ''} {group.get('data-edge') or ''}"] = rows
    return found


def step_to(page: Page, step: int) -> None:
    """Go to a step with the slider's keys, and wait until it is shown."""
    slider = page.get_by_role("slider", name="Training step")
    slider.focus()
    for _ in range(int(slider.get_attribute("aria-valuenow") or 0), step):
        page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".count b")).to_have_text(str(step))


def slider(page: Page) -> Locator:
    """Return the tape's slider."""
    return page.get_by_role("slider", name="Training step")


@pytest.mark.parametrize(
    "path",
    [
        EXAMPLES / "fit-by-hand.py",
        EXAMPLES / "xor.py",
        EXAMPLES / "vanishing.py",
        EXAMPLES / "pitfall-accumulate.py",
        PROGRAMS / "micro_batches.py",
        PROGRAMS / "gan.py",
        PROGRAMS / "hooks.py",
        PROGRAMS / "momentum.py",
    ],
    ids=lambda path: path.stem,
)
def test_the_numbers_written_by_the_page_equal_those_of_the_server_s_picture(page: Page, path: Path) -> None:
    open_run(page, path.read_text())
    base = page.url.partition("?")[0].replace("/r/", "/api/v1/runs/")
    steps = page.request.get(base).json()["steps"]
    for step in sorted({0, min(1, steps - 1), steps // 2, steps - 1}):
        if step:  # its numbers are written into the picture of the first step
            step_to(page, step)
        main = page.request.get(f"{base}/steps/{step}").json()["main"]
        expected = server_picture(page.request.get(f"{base}/passes/{main}/graph.svg?theme=inline").text())
        with contextlib.suppress(TimeoutError):  # tooltips are written once the playhead rests
            page.wait_for_function(SHOWS, arg=expected, polling=50)
        assert page.evaluate(SHOWN) == expected, f"step {step}"


def test_playback_goes_through_nodes_phases_and_steps_and_stops_at_the_end(page: Page) -> None:
    open_run(page, FIT)
    positions: list[str] = []
    page.expose_function("positions", lambda text: positions.append(text))
    page.evaluate(
        """() => new MutationObserver(() => window.positions(document.querySelector('.tape').getAttribute('aria-valuetext')))
            .observe(document.querySelector('.tape'), {attributes: true, attributeFilter: ['aria-valuetext']})"""
    )
    page.get_by_role("button", name="First step").click()
    page.get_by_role("button", name="Four times as fast").click()
    page.get_by_role("button", name="Play (Space)").click()
    expect(page.get_by_role("button", name="Pause (Space)")).to_be_visible()
    expect(page.locator(".phase.backward small")).to_have_text(re.compile(r"[1-5] of 5 nodes"), timeout=8000)
    expect(page.get_by_role("button", name="Play (Space)")).to_be_visible(timeout=20_000)
    expect(page.locator(".count b")).to_have_text("3")
    expect(page.locator(".phase.update[aria-pressed=true]")).to_be_visible()
    expect(node(page, "m").locator("[data-field=value]")).to_have_text(re.compile(r"1\.8483 → "))
    phases = [text.split(",")[1].strip() for text in positions if text.startswith("step 1,")]
    assert list(dict.fromkeys(phases)) == ["forward", "loss", "backward", "update"]


def test_pausing_stops_at_once_and_the_address_reopens_that_instant(page: Page) -> None:
    open_run(page, FIT)
    page.get_by_role("button", name="First step").click()
    page.get_by_role("button", name="Half speed").click()
    page.get_by_role("button", name="Play (Space)").click()
    page.wait_for_function(
        """() => {
            if (!/^[12] of 5 nodes$/.test(document.querySelector(".phase.backward small").textContent)) return false;
            document.querySelector(".key.play").click();
            return true;
        }"""
    )
    expect(page.get_by_role("button", name="Play (Space)")).to_be_visible()
    here = page.locator(".phase.backward small").text_content() or ""
    assert re.fullmatch(r"[12] of 5 nodes", here)
    expect(page).to_have_url(re.compile(r"ran=\d"))
    page.reload()
    expect(page.locator(".phase.backward small")).to_have_text(here)
    expect(node(page, "m").locator("[data-field=grad]")).to_have_text("None")
    expect(node(page, "loss = ((y_pred - y) ** 2).mean()").locator("[data-field=grad]")).to_have_text("1.0000")


def test_a_backward_pass_is_stepped_through_node_by_node_in_the_engine_s_order(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 480})  # the graph does not fit
    open_run(page, FAN_IN)
    run_id = page.url.rpartition("/r/")[2].partition("?")[0]
    order = page.request.get(f"/api/v1/runs/{run_id}/steps/0").json()["passes"][0]["order"]
    node(page, "x").focus()
    page.keyboard.press("PageUp")
    for count, expected in enumerate(order, 1):
        page.keyboard.press(".")
        if count < len(order):
            expect(page.locator("#canvas .node.now")).to_have_attribute("data-node", expected)
            expect(page.locator("#canvas .node.now")).to_be_in_viewport(ratio=0.95)  # it never leaves the view
    expect(page.locator("#canvas .node.now")).to_have_count(0)
    expect(node(page, "x").locator("[data-field=grad]")).to_have_text("8.0000")
    page.keyboard.press(",")
    expect(node(page, "x").locator("[data-field=grad]")).to_have_text("None")
    expect(value(page, 4)).to_have_text(f"{len(order) - 1} of {len(order)} nodes")


SIGMOIDS = """\
import torch
w = torch.tensor(0.5, requires_grad=True)
h = w
for _ in range(12):
    h = torch.sigmoid(h)
h.backward()
w.grad
"""


def test_the_picture_moves_once_for_several_nodes_of_a_pass(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})  # the graph does not fit
    open_run(page, SIGMOIDS)
    page.keyboard.press("PageUp")
    places = []
    for _ in range(12):
        page.keyboard.press(".")
        expect(page.locator("#canvas .node.now")).to_be_in_viewport(ratio=0.95)
        places.append(page.locator("#canvas svg.graph").evaluate("each => each.parentElement.style.transform"))
    assert 2 <= len({*places}) <= 5


def test_the_output_of_a_cell_appears_once_its_last_line_has_run(page: Page) -> None:
    open_run(page, SIGMOIDS)
    output = page.locator(".cm-content", has_text="tensor(1.7587e-08)")
    page.locator(".phase.backward").click()
    expect(output).to_have_count(1)
    page.keyboard.press(",")
    expect(output).to_have_count(0)


def test_before_backward_a_gradient_is_the_accumulated_one(page: Page) -> None:
    open_run(page, ACCUMULATE)
    grad = node(page, "w").locator("[data-field=grad]")
    page.locator(".phase.loss").click()
    expect(grad).to_have_text("None")
    expect(page.locator("#inspected")).to_contain_text("w.gradNone")
    page.locator(".phase.backward").click()
    expect(page.locator("#inspected")).to_contain_text("w.gradNone → [2.0000, 4.0000]")
    expect(page.locator("#inspected")).not_to_contain_text("this step adds")
    page.locator(".phase.loss").click()
    page.get_by_role("button", name="Next step").click()
    expect(grad).to_have_text("[2.0000, 4.0000]")
    page.locator(".phase.backward").click()
    expect(grad).to_have_text("[1.6000, 3.2000]")
    expect(node(page, "w")).to_contain_text("grad +=")
    expect(page.locator("#inspected")).to_contain_text("w.grad before[2.0000, 4.0000]this step adds[1.6000, 3.2000]")
    expect(page.locator("#inspected")).to_contain_text("w.grad after[3.6000, 7.2000]")


def test_the_tape_can_be_dragged_back_and_forth(page: Page) -> None:
    open_run(page, FIT)
    box = page.locator(".tape").bounding_box()
    assert box
    y = box["y"] + box["height"] - 36
    page.mouse.move(box["x"] + 12, y)
    page.mouse.down()
    expect(page.locator(".phase.forward[aria-pressed=true]")).to_be_visible()
    expect(node(page, "y_pred = m * x").locator("[data-field=grad]")).to_have_text("·")
    page.mouse.move(box["x"] + box["width"] - 12, y, steps=8)
    expect(page.locator(".count b")).to_have_text("3")
    expect(page.locator(".phase.update[aria-pressed=true]")).to_be_visible()
    expect(value(page, 7)).to_have_text("0.1074")
    page.mouse.move(box["x"] + box["width"] * 0.45, y, steps=8)
    expect(page.locator(".count b")).to_have_text("1")
    expect(value(page, 7)).to_have_text("1.3274")
    expect(node(page, "m").locator("[data-field=grad]")).to_have_text("−4.9778")
    page.mouse.up()
    page.mouse.move(box["x"] + box["width"] - 12, y)
    expect(page.locator(".count b")).to_have_text("1")
    expect(page.locator(".told")).to_have_text("step 3loss 0.1074")


def test_a_drag_over_many_steps_fetches_them_in_stretches(page: Page) -> None:
    program = FIT.replace("range(4)", "range(1500)").replace("0.05", "0.0001")
    made = recorded(page, program)
    assert made["steps"] == 1500
    requests: list[str] = []
    page.on("request", lambda each: requests.append(each.url.partition("/steps")[2]) if "/steps" in each.url else None)
    page.goto(f"/r/{made['id']}?step=750")
    expect(page.locator("#canvas")).to_have_attribute("data-step", "750")
    page.wait_for_load_state("networkidle")
    assert requests == [], "the page has the step of its address"
    box = page.locator(".tape").bounding_box()
    assert box
    y = box["y"] + box["height"] - 36
    with page.expect_response(re.compile("/steps")):
        page.mouse.move(box["x"] + box["width"] / 2, y)
    starts = {int(each.partition("start=")[2].partition("&")[0]) for each in requests}
    assert 1 <= len(starts) <= 3
    assert max(abs(start - 750) for start in starts) < 512, "only steps near the playhead are fetched"
    before = len(requests)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, y, steps=100)
    at = slider(page).get_attribute("aria-valuenow") or ""
    expect(page.locator("#canvas")).to_have_attribute("data-step", at)
    page.mouse.up()
    assert int(at) > 1300
    own = page.request.get(f"/api/v1/runs/{made['id']}/steps/{at}").json()
    expect(node(page, "m").locator("title")).to_contain_text(f"m.grad {own['parameters'][0]['grad_after']['values']:.4g}"[:10])
    assert len(requests) - before < 20, "a drag over many steps needs few requests"
    assert all(each.startswith("?") for each in requests)


LONG = """\
import torch
x = torch.tensor([1., 2., 3.])
w = [torch.tensor(0.5 + 0.05 * i, requires_grad=True) for i in range(12)]
optimizer = torch.optim.SGD(w, lr=0.01)
for step in range(60):
    h = x
    for weight in w:
        h = torch.tanh(weight * h)
    loss = (h ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
CARDS = """() => [...document.querySelectorAll("#canvas .node:not(.stub)")].map((node) => {
    const [own, canvas] = [node, document.querySelector("#canvas")].map((each) => each.getBoundingClientRect());
    const inside = own.top < canvas.bottom && own.bottom > canvas.top;
    return [node.dataset.node, inside, node.querySelector("[data-field=grad]")?.textContent ?? ""];
})"""


AT_REST = 160  # milliseconds without a change after which numbers out of view are written


def test_while_the_tape_is_dragged_only_numbers_in_view_are_written_until_it_rests(page: Page) -> None:
    made = recorded(page, LONG)
    assert made["steps"] == 60, made["error"]
    numbers = {}
    for step in (0, 40, 59):
        page.goto(f"/r/{made['id']}?layout=nodes&step={step}")
        expect(page.locator("#canvas")).to_have_attribute("data-step", str(step))
        page.wait_for_timeout(400)
        numbers[step] = {name: text for name, _, text in page.evaluate(CARDS)}
    for _ in range(8):  # until no frame takes so long that the tape rests
        page.goto(f"/r/{made['id']}?layout=nodes")
        expect(page.locator("#canvas")).to_have_attribute("data-step", "0")
        page.wait_for_load_state("networkidle")
        slider(page).focus()
        moved = page.evaluate(f"""async () => {{
            const tape = document.querySelector(".tape");
            let [longest, before] = [0, performance.now()];
            for (let step = 0; step < 40; step++) {{
                tape.dispatchEvent(new KeyboardEvent("keydown", {{ key: "ArrowRight", shiftKey: true, bubbles: true }}));
                await new Promise(requestAnimationFrame);
                [longest, before] = [Math.max(longest, performance.now() - before), performance.now()];
            }}
            return [document.querySelector("#canvas").dataset.step, ({CARDS})(), longest];
        }}""")
        if moved[2] < AT_REST / 2:
            break
    assert moved[0] == "40"
    inside = [(name, text) for name, in_view, text in moved[1] if in_view]
    outside = [(name, text) for name, in_view, text in moved[1] if not in_view]
    assert inside
    assert all(text == numbers[40][name] for name, text in inside)
    assert any(text != numbers[40][name] for name, text in outside), "numbers out of view are not written yet"
    page.wait_for_timeout(400)
    assert {name: text for name, _, text in page.evaluate(CARDS)} == numbers[40]
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("End")
    page.mouse.move(700, 400)
    page.mouse.down()
    page.mouse.move(700, 100, steps=3)
    assert page.locator("#canvas").get_attribute("data-step") == "59"
    assert all(text == numbers[59][name] for name, in_view, text in page.evaluate(CARDS) if in_view)


def test_a_link_opens_at_its_step_and_phase(page: Page) -> None:
    open_run(page, FIT)
    page.goto(f"{page.url.partition('?')[0]}?step=2&phase=update&theme=dark")
    expect(slider(page)).to_have_attribute("aria-valuetext", re.compile("step 2, update, loss 0.3776"))
    expect(node(page, "m").locator("[data-field=value]")).to_have_text("1.7156 → 1.8483")
    expect(value(page, 10)).to_have_text("1.8483")
    page.locator(".phase.forward").click()
    expect(page).to_have_url(re.compile(r"step=2&phase=forward&theme=dark"))


TWO = """\
import torch
x = torch.tensor([0., 1., 2.])
w = torch.tensor(0., requires_grad=True)
b = torch.tensor([0., 0.5], requires_grad=True)
optimizer = torch.optim.SGD([w, b], lr=0.1)
for step in range(5):
    optimizer.zero_grad()
    loss = ((w * x + b.sum() - 1) ** 2).mean()
    loss.backward()
    optimizer.step()
"""


def test_scale_tab_and_its_contents_are_in_the_address(page: Page) -> None:
    open_run(page, TWO)
    page.get_by_role("button", name="log scale").click()
    expect(page).to_have_url(re.compile(r"\?log=1$"))
    page.get_by_role("button", name="Optimizer").click()
    expect(page).to_have_url(re.compile(r"log=1&tab=optimizer"))
    page.get_by_role("combobox", name="Parameter").select_option("p1")
    page.get_by_role("button", name="Loss vs.").click()
    over = page.get_by_role("combobox", name="Loss vs.")
    expect(page.locator(".plane .height")).not_to_have_count(0, timeout=15_000)
    over.select_option("p1[1]")
    expect(page.locator(".plane .curve")).to_be_visible(timeout=15_000)
    node(page, "b.sum()").click()
    expect(page).to_have_url(re.compile(r"over=p1%5B1%5D"))
    address = page.url
    assert "parameter=p1" in address, "the selected node does not belong to the parameter"

    page.goto("about:blank")
    page.goto(address)
    expect(over).to_have_value("p1[1]")
    expect(page.locator(".plane .curve")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("combobox", name="Parameter")).to_have_value("p1")
    expect(page.get_by_role("button", name="log scale")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Curves").click()
    page.get_by_role("button", name="log scale").click()
    page.get_by_role("combobox", name="Parameter").select_option("p0")
    expect(page).not_to_have_url(re.compile("log|tab|over|parameter"))
    assert page.url.partition("?")[0] == address.partition("?")[0]


def test_an_address_has_only_changed_fields_and_is_read_as_it_was_written(page: Page) -> None:
    modules = [(SOURCES / name).read_text() for name in ("leaves/types.js", "core/state.js", "core/address.js")]
    body = re.sub(r"^(import .*|export \{\};)$", "", "\n".join(modules), flags=re.MULTILINE).replace("export ", "")
    elsewhere = {
        "at": 3, "phase": "update", "ran": None, "node": "n2", "pass": 4, "apart": "g1", "direction": "LR", "view": "m:net",
        "layout": "rows", "pane": "models", "density": "full",
        "logarithmic": True, "tab": "loss", "parameter": "p1", "over": "p1[0]", "compare": "f00",
    }  # fmt: skip
    page.goto("about:blank")
    start, changed, unchanged, read = page.evaluate(
        f"""elsewhere => {{
            {body}
            const address = (view) => write({{ ...START, ...view }}, "?theme=dark");
            const each = Object.entries(elsewhere).map(([field, value]) => address({{ tab: "loss", [field]: value }}));
            return [START, each, [address({{}}), read("")], [read(address(elsewhere)), read(address({{ ran: 2 }})).ran]];
        }}""",
        elsewhere,
    )
    assert set(start) == set(elsewhere)
    assert unchanged == ["?theme=dark", start]
    assert read == [elsewhere, 2]
    assert len(set(changed)) == len(elsewhere) - 2, "only `ran`, `tab` and `density` have their initial values"


def test_a_link_without_a_tab_opens_the_curves(page: Page) -> None:
    page.goto("/")
    run(page, FIT)
    first = run_another(page, FIT.replace("0.05", "0.02"))
    page.get_by_role("button", name="Optimizer").click()
    page.get_by_role("button", name="log scale").click()
    expect(page).to_have_url(re.compile("tab=optimizer"))
    page.go_back()
    expect(page).to_have_url(f"{first}?node=n0")  # the node of the line in which the text was replaced
    expect(page.get_by_role("button", name="Curves")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="log scale")).to_have_attribute("aria-pressed", "false")


def test_a_reassigned_name_moves_from_its_leaf_to_the_new_tensor(page: Page) -> None:
    open_run(page, LAST_SECTION)
    page.locator(".phase.update").click()
    expect(node(page, "m before the update")).to_be_visible()
    taker = page.locator("#canvas .taker")
    expect(taker).to_contain_text("m")
    expect(taker).to_contain_text("SubBackward0 · not a leaf")
    expect(taker).to_contain_text("1.0933")
    page.wait_for_function(  # the card is in view once the picture has moved
        """() => {
            const box = (name) => document.querySelector(name).getBoundingClientRect();
            const [canvas, card] = [box("#canvas"), box("#canvas .taker")];
            return canvas.top <= card.top && card.top < card.bottom && card.bottom <= canvas.bottom;
        }"""
    )
    page.locator(".phase.backward").click()
    expect(taker).to_have_count(0)
    expect(node(page, "m")).to_be_visible()


def test_a_reassigned_attribute_is_drawn_beside_its_leaf(page: Page) -> None:
    page.goto("/")
    program = (
        "import torch\nclass Net:\n    pass\nnet = Net()\nnet.an_attribute_of_its_own = torch.ones((), requires_grad=True)\n"
    )
    name = "net.an_attribute_of_its_own"
    run(page, f"{program}({name} ** 2).backward()\n{name} = {name} - 0.1 * {name}.grad\n")
    expect(page.locator("#found li")).to_contain_text(f"makes {name} a new tensor")
    page.locator(".phase.update").click()
    expect(page.locator(".taker .name")).to_have_text("net.an_attribute_of_i…")
    expect(page.locator(".taker")).to_have_attribute(
        "aria-label", re.compile(f"^{re.escape(name)} now refers to another tensor: 0.8")
    )
    expect(page.locator(".node.leaf")).to_contain_text("old net.an_attribute")


def test_reduced_motion_plays_whole_phases_without_animations(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    open_run(page, FIT)
    page.get_by_role("button", name="First step").click()
    waves: list[str] = []
    page.expose_function("wave", lambda text: waves.append(text))
    page.evaluate(
        """() => {
            const small = document.querySelector('.phase.backward small');
            new MutationObserver(() => window.wave(small.textContent)).observe(small, {childList: true, characterData: true});
        }"""
    )
    page.get_by_role("button", name="Four times as fast").click()
    page.get_by_role("button", name="Play (Space)").click()
    expect(page.locator(".count b")).to_have_text("1", timeout=8000)
    page.get_by_role("button", name="Pause (Space)").click()
    assert not [text for text in waves if "nodes" in text]
    assert page.evaluate("document.getAnimations().length") == 0


def test_a_recording_can_be_played_from_the_keyboard(page: Page) -> None:
    open_run(page, FIT)
    slider(page).focus()
    page.keyboard.press("Home")
    page.keyboard.press("PageUp")
    expect(slider(page)).to_have_attribute("aria-valuetext", re.compile("^step 0, loss"))
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause (Space)")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play (Space)")).to_be_visible()
    page.keyboard.press("End")
    expect(slider(page)).to_have_attribute("aria-valuenow", "3")
    node(page, "m").focus()
    page.keyboard.press("Shift+ArrowLeft")
    expect(slider(page)).to_have_attribute("aria-valuenow", "2")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause (Space)")).to_be_visible()
    page.keyboard.press("PageUp")
    expect(page.get_by_role("button", name="Play (Space)")).to_be_visible()


def test_the_space_bar_plays_after_a_click_on_a_control_and_presses_a_control_reached_by_tab(page: Page) -> None:
    open_run(page, FIT)
    fast, faster = page.get_by_role("button", name="Twice as fast"), page.get_by_role("button", name="Four times as fast")
    fast.click()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause (Space)")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play (Space)")).to_be_visible()
    page.keyboard.press("Tab")
    expect(faster).to_be_focused()
    page.keyboard.press("Space")
    expect(faster).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Play (Space)")).to_be_visible()


def test_whole_steps_are_played_fast(page: Page) -> None:
    open_run(page, (EXAMPLES / "fit-by-hand.py").read_text())
    for name, step in (("Last step", 19), ("First step", 0)):  # one stretch has all steps, and is loaded now
        page.get_by_role("button", name=name).click()
        expect(page.locator("#canvas")).to_have_attribute("data-step", str(step))
    page.get_by_role("button", name="Whole steps").click()
    page.clock.install(time=0)
    page.clock.pause_at(1000)  # the page's clock is independent of the machine's speed
    page.get_by_role("button", name="Play (Space)").click()
    page.clock.run_for(1)
    for step in range(1, 20):
        expect(page.locator(".count b")).to_have_text(str(step))
        expect(page.locator("#canvas")).to_have_attribute("data-step", str(step))
        expect(page.get_by_role("button", name="Pause (Space)")).to_be_visible()
        page.clock.run_for(110)
    expect(page.get_by_role("button", name="Play (Space)")).to_be_visible()
    expect(page.locator(".count b")).to_have_text("19")
    expect(page.locator(".phase.forward[aria-pressed=true]")).to_be_visible()


def test_curves_follow_the_playhead_and_show_the_number_under_the_pointer(page: Page) -> None:
    open_run(page, FIT)
    chart = page.locator(".chart")
    expect(chart).to_have_count(3)
    expect(chart.nth(0)).to_contain_text("m1.0000")
    expect(chart.nth(1)).to_contain_text("m.grad−9.3333")
    expect(chart.nth(2)).to_contain_text("update·")
    page.locator(".phase.update").click()
    expect(chart.nth(2)).to_contain_text("0.4667")
    page.locator(".phase.loss").click()
    expect(chart.nth(1)).to_contain_text("·")
    plot = chart.nth(0).locator(".u-over")
    box = plot.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 20)
    expect(chart.nth(0)).to_contain_text("step 3 1.8483")
    page.mouse.click(box["x"] + box["width"] - 1, box["y"] + 20)
    expect(page.locator(".count b")).to_have_text("3")
    page.get_by_role("button", name="log scale").click()
    expect(page.get_by_role("button", name="log scale")).to_have_attribute("aria-pressed", "true")
    expect(chart.nth(0).locator("canvas")).to_be_visible()


@pytest.mark.parametrize("start", ["1e11", "1e-11", "-3.0", "4e30"])
@pytest.mark.parametrize("rate", ["0.1", "1e-6", "0.0"])
def test_the_numbers_of_an_axis_differ_however_large_or_close_the_values_are(page: Page, start: str, rate: str) -> None:
    program = f"""\
import torch
m = torch.tensor({start}, dtype=torch.float64, requires_grad=True)
for step in range(20):
    loss = ((m - 1.5 * {start}) / {start}) ** 2
    loss.backward()
    with torch.no_grad():
        m -= {rate} * {start} ** 2 * m.grad
    m.grad = None
"""
    page.add_init_script("""
      window.written = [];
      const { fillText } = CanvasRenderingContext2D.prototype;
      CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        const title = this.canvas.closest(".chart")?.querySelector("span").textContent;
        if (this.textAlign === "right") window.written.push([title, text]);
        return fillText.call(this, text, ...rest);
      };
    """)
    made = recorded(page, program)
    assert made["steps"] == 20, made["error"]
    page.goto(f"/r/{made['id']}")
    expect(page.locator(".chart canvas")).to_have_count(3)
    page.wait_for_function("window.written.some(([name]) => name === 'update')")
    for name in ("m", "m.grad"):
        drawn = page.evaluate("name => window.written.filter(each => each[0] === name).map(each => each[1])", name)
        texts = drawn[: drawn.index(drawn[0], 1)] if drawn[0] in drawn[1:] else drawn
        assert len(texts) >= (1 if rate == "0.0" else 2)  # a constant has one number
        assert len(set(texts)) == len(texts), texts


def test_the_optimizer_s_table_shows_its_state_and_its_update(page: Page) -> None:
    open_run(page, ADAM)
    page.get_by_role("button", name="Optimizer").click()
    table = page.get_by_role("region", name="Optimizer")
    expect(table).to_contain_text("Adam")
    expect(table).to_contain_text("lr=0.5")
    expect(table.locator("thead")).to_have_text("parametervaluegradmomentum2nd momentupdaterate")
    cells = table.locator("tbody tr td")
    expect(cells).to_have_text(["3.0000", "4.0000", "·", "·", "·", "·"])
    node(page, "w").click()
    inspector = page.locator(".inspector")
    expect(inspector).to_contain_text("w.gradNone → 4.0000")
    expect(inspector).not_to_contain_text("exp avg")  # the state after the update is not shown yet
    page.locator(".phase.update").click()
    expect(cells).to_have_text(["3.0000 → 2.5000", "4.0000", "0.4000", "0.0160", "−0.5000", "0.1250"])
    expect(inspector).to_contain_text("exp avg0.4000")
    page.locator(".phase.loss").click()
    expect(cells).to_have_text(["3.0000", "None", "·", "·", "·", "·"])


def test_the_contribution_of_a_step_has_a_column_if_gradients_accumulate(page: Page) -> None:
    open_run(page, ACCUMULATE)
    page.get_by_role("button", name="Optimizer").click()
    table = page.get_by_role("region", name="Optimizer")
    expect(table.locator("thead")).to_have_text("parametervaluegradupdaterate")
    step_to(page, 1)
    expect(table.locator("thead")).to_have_text("parametervalueaddsgradupdaterate")
    expect(table.locator("tbody tr td")).to_have_text(["[0.8000, 1.6000]", "[1.6000, 3.2000]", "[3.6000, 7.2000]", "·", "·"])


def test_a_gradient_returned_by_autograd_grad_is_not_shown_as_grad(page: Page) -> None:
    open_run(page, "import torch\nw = torch.tensor([1., 2.], requires_grad=True)\ng, = torch.autograd.grad((w * w).sum(), w)\n")
    node(page, "w").click()
    inspector = page.locator(".inspector")
    expect(inspector).to_contain_text("Where does the gradient of w come from?")
    expect(inspector).to_contain_text("w.gradNone")
    expect(inspector).to_contain_text("does not change .grad")
    expect(node(page, "w")).not_to_contain_text("w.grad")


def test_a_functional_update_has_curves_of_its_parameter_and_its_gradients(page: Page) -> None:
    open_run(
        page,
        "import torch\nw = torch.tensor(1., requires_grad=True)\nfor i in range(4):\n"
        "    g, = torch.autograd.grad((w - 3) ** 2, w)\n    w = (w - 0.1 * g).detach().requires_grad_()\n",
    )
    page.locator(".phase.update").click()
    charts = page.locator(".chart")
    expect(charts.nth(1)).to_contain_text("gradient")
    expect(charts.nth(1)).to_contain_text("−4.0000")
    expect(charts.nth(2)).to_contain_text("0.4000")
    node(page, "w before the update").click()
    expect(page.locator(".inspector")).to_contain_text("then refers to a new leaf")
    expect(page.locator(".inspector")).to_contain_text("w after the update1.4000")


def test_a_gradient_is_marked_as_added_only_if_an_earlier_pass_reached_the_leaf(page: Page) -> None:
    open_run(
        page,
        "import torch\na = torch.tensor(1., requires_grad=True)\nb = torch.tensor(2., requires_grad=True)\n"
        "optimizer = torch.optim.SGD([a, b], lr=0.1)\n(a * 2).backward()\n(b * 3).backward()\noptimizer.step()\n",
    )
    expect(node(page, "b")).to_contain_text("b.grad")
    expect(node(page, "b")).not_to_contain_text("grad +=")


def test_a_non_finite_loss_is_marked_and_the_tape_plays_past_it(page: Page) -> None:
    open_run(
        page,
        "import torch\nw = torch.tensor(3., requires_grad=True)\nfor step in range(8):\n    loss = w ** 4\n"
        "    loss.backward()\n    with torch.no_grad():\n        w -= w.grad\n    w.grad = None",
    )
    run_id = page.url.rpartition("/r/")[2].partition("?")[0]
    losses = page.request.get(f"/api/v1/runs/{run_id}/series?key=loss").json()["series"]["loss"]
    assert losses[3:] == ["Infinity", "Infinity", "NaN", "NaN", "NaN"]
    expect(page.locator(".tape .bad")).to_have_text("∞ from step 3 to 4, NaN from step 5 on")
    page.get_by_role("button", name="Last step").click()
    expect(page.locator(".count b")).to_have_text("7")
    expect(node(page, "w").locator("[data-field=value]")).to_have_text("NaN")


def test_each_loss_has_its_own_curve(page: Page) -> None:
    open_run(page, (PROGRAMS / "gan.py").read_text())
    expect(page.locator(".tape .ahead .curve")).to_have_count(2)
    expect(page.locator(".caption .loss")).to_contain_text("d_loss")
    page.get_by_role("button", name="Next step").click()
    expect(page.locator(".caption .loss")).to_contain_text("g_loss")


def test_a_run_in_progress_is_followed_with_its_progress_and_can_be_cancelled(page: Page) -> None:
    page.goto("/")
    write(page, SLOW)
    page.keyboard.press("ControlOrMeta+Enter")
    expect(page.locator("#status")).to_have_text(re.compile(r"Running… .*\b\d+ of 200"), timeout=8000)
    expect(page).to_have_url(re.compile(r"/r/[0-9a-f]{32}"))
    bar = page.get_by_role("progressbar", name="Run progress")
    expect(bar).to_have_attribute("aria-valuemax", "200")
    first = int(slider(page).get_attribute("aria-valuemax") or 0)
    expect(slider(page)).not_to_have_attribute("aria-valuemax", str(first))  # the tape grows
    expect(node(page, "w").locator("[data-field=grad]")).not_to_have_text("None")
    page.get_by_role("button", name="First step").click()
    expect(page.locator(".count b")).to_have_text("0")
    page.wait_for_timeout(600)
    expect(page.locator(".count b")).to_have_text("0")  # the playhead does not follow when it is elsewhere
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_contain_text("Cancelled")
    expect(bar).to_be_hidden()
    kept = int(slider(page).get_attribute("aria-valuemax") or 0)
    page.reload()
    expect(slider(page)).to_have_attribute("aria-valuemax", str(kept))
    expect(page.locator(".tape .played .curve")).to_be_visible()


def test_a_comparison_shows_the_curves_and_values_of_both_runs(page: Page) -> None:
    open_run(page, FIT)
    other = page.url.rpartition("/r/")[2].partition("?")[0]
    write(page, FIT.replace("0.05", "0.02"))
    page.locator("#run").click()
    expect(page).not_to_have_url(re.compile(other))
    expect(page.locator("body.busy")).to_have_count(0)
    page.locator(".compare summary").click()
    offered = page.locator(".compare .sheet")
    expect(offered).to_contain_text("Previous run")
    expect(offered.locator("button").first).to_contain_text("m -= 0.05 * m.grad")
    offered.locator("button").first.click()
    expect(page.locator(".pair .mine")).to_contain_text("m -= 0.02 * m.grad")
    expect(page.locator(".pair .dashed")).to_contain_text("m -= 0.05 * m.grad")
    expect(page.locator(".tape .ahead .curve.other")).to_be_visible()
    page.get_by_role("button", name="Last step").click()
    expect(page.locator(".caption .loss")).to_have_text("loss 1.3509 0.1074")
    expect(page.locator(".chart").nth(0)).to_contain_text("1.4620 1.8483")
    expect(page).to_have_url(re.compile(f"compare={other}"))
    page.reload()
    expect(page.locator(".caption .loss")).to_have_text("loss 1.3509 0.1074")
    page.get_by_role("button", name="Stop comparing").click()
    expect(page.locator(".tape .curve.other")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("compare"))


def test_compared_runs_are_labelled_with_the_argument_that_differs(page: Page) -> None:
    open_run(page, TWO)
    first = run_another(page, TWO.replace("lr=0.1", "lr=0.02"))
    page.goto(f"{page.url.partition('?')[0]}?compare={first.rpartition('/')[2]}")
    expect(page.locator(".pair .mine")).to_have_text("lr=0.02")
    expect(page.locator(".pair .dashed")).to_have_text("lr=0.1")


PAIR = """\
import torch
x = torch.tensor([0., 1., 2.])
w = torch.tensor(0., requires_grad=True)
b = torch.tensor(0., requires_grad=True)
optimizer = torch.optim.SGD([w, b], lr=0.1)
for step in range(5):
    optimizer.zero_grad()
    loss = ((w * x + b - 1) ** 2).mean()
    loss.backward()
    optimizer.step()
"""
PLANE = """() => {
    const plane = document.querySelector(".plane");
    const points = (name) => [...plane.querySelectorAll(name)]
        .flatMap(each => [...each.getAttribute("d").matchAll(/([-\\d.]+) ([-\\d.]+)/g)])
        .map(([, x, y]) => [Number(x), Number(y)]);
    const here = plane.querySelector(".here");
    return {
        curve: points(".curve"), tangent: points(".tangent"), here: ["cx", "cy"].map(name => Number(here.getAttribute(name))),
        rungs: points(".rung").map(([, y]) => y), beside: [...plane.querySelectorAll(".axis")].map(each => each.textContent),
    };
}"""


def test_the_slope_of_the_loss_curve_is_the_gradient(page: Page) -> None:
    open_run(page, FIT)
    page.get_by_role("button", name="Loss vs. m").click()
    expect(page.locator(".plane .curve")).to_be_visible(timeout=15_000)
    expect(page.locator(".landscape .slope")).to_have_text("slope −9.3333")
    plane = page.evaluate(PLANE)
    right = next(i for i, (x, _) in enumerate(plane["curve"]) if x > plane["here"][0])
    (x1, y1), (x2, y2) = plane["tangent"][0], plane["tangent"][-1]
    (x3, y3), (x4, y4) = plane["curve"][right - 2], plane["curve"][right + 1]
    assert abs((y2 - y1) / (x2 - x1) / ((y4 - y3) / (x4 - x3)) - 1) < 0.05
    page.locator(".phase.loss").click()
    expect(page.locator(".plane .tangent")).to_have_count(0)
    expect(page.locator(".plane .here")).to_be_visible()
    page.locator(".phase.backward").click()
    page.get_by_role("button", name="Next step").click()
    expect(page.locator(".landscape .slope")).to_have_text("slope −4.9778")
    expect(page.locator(".plane .before")).to_have_count(1)
    page.get_by_role("button", name="Use the data of step 1").click()
    expect(page.get_by_role("button", name="Use the data of step")).to_be_hidden(timeout=15_000)


def test_a_replay_is_started_once_and_then_polled_at_its_own_address(page: Page) -> None:
    slow = FIT.replace("import torch", "import time, torch").replace("    loss =", "    time.sleep(0.2)\n    loss =")
    made = recorded(page, slow)
    requests: list[tuple[str, str, int]] = []

    def on_response(response: Response) -> None:
        path = response.url.partition("/replays")
        if path[1]:
            requests.append((response.request.method, path[2], response.status))

    page.on("response", on_response)
    page.goto(f"/r/{made['id']}?tab=loss&step=3")
    expect(page.locator(".plane .curve")).to_be_visible(timeout=15_000)
    first, *polls = requests
    assert first == ("POST", "", 202)
    assert {(method, bool(path.strip("/"))) for method, path, _ in polls} == {("GET", True)}
    assert [status for *_, status in polls][-1] == 200
    page.reload()
    expect(page.locator(".plane .curve")).to_be_visible(timeout=15_000)
    assert requests[len(polls) + 1 :] == [("POST", "", 200)], "the replay is cached"


def test_a_long_replay_can_be_stopped_and_requested_again(page: Page) -> None:
    slow = PAIR.replace("import torch", "import time, torch").replace("    loss =", "    time.sleep(0.6)\n    loss =")
    made = recorded(page, slow)
    assert made["steps"] == 5, made["error"]
    page.add_init_script("""
      const ask = window.fetch;
      window.fetch = async (address, ...rest) => {
        if (String(address).endsWith("/cancel")) await new Promise((go) => setTimeout(go, 300));
        return ask(address, ...rest);
      };
    """)
    cancelled: list[str] = []
    page.on("request", lambda each: cancelled.append(each.url) if each.url.endswith("/cancel") else None)
    page.goto(f"/r/{made['id']}?tab=loss&step=4&over=p0")
    remark = page.locator(".landscape .remark")
    stopped = "Stopped before that step was reached. Run again"
    remark.get_by_role("button", name="Stop", exact=True).click()
    expect(remark).to_have_text(stopped)
    expect(page.locator(".plane")).to_be_hidden()
    (first,) = cancelled
    replay = first.removesuffix("/cancel")
    assert page.request.get(replay).json()["reason"] == "The replay was cancelled."
    page.keyboard.press("ArrowUp")
    expect(page.locator("#inspected h3")).to_have_text("w * x + b")
    expect(remark).to_have_text(stopped)  # the replay is not requested again by itself
    page.get_by_role("button", name="Run again").click()
    expect(remark).to_contain_text("Running the program again")
    for elements in ("p0 p1", "p0"):  # the replaced request is cancelled before the same surface is requested again
        page.get_by_role("combobox", name="Loss vs.").select_option(elements)
    expect(page.locator(".plane .curve")).to_be_visible(timeout=20_000)
    assert cancelled == [first, first]


def test_on_a_logarithmic_scale_the_tangent_is_the_transformed_line(page: Page) -> None:
    made = recorded(page, FIT)
    answer = page.request.post(
        f"/api/v1/runs/{made['id']}/replays", data={"what": "surface", "step": 1, "parameters": ["p0"]}
    ).json()
    page.goto(f"/r/{made['id']}?step=1&tab=loss&log=1")
    expect(page.locator(".plane .tangent")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("img", name="loss vs. m, on a logarithmic scale")).to_be_visible()
    plane = page.evaluate(PLANE)
    (low, *_, high), (left, *_, right) = answer["grid"]["p0"], plane["curve"]
    scale = (right[0] - left[0]) / (high - low)
    powers = [math.log10(float(text.replace("−", "-"))) for text in plane["beside"][-len(plane["rungs"]) :]]
    assert len(powers) > 1
    decade = (plane["rungs"][-1] - plane["rungs"][0]) / (powers[-1] - powers[0])
    foot = plane["rungs"][0] - decade * powers[0]

    def pixels(m: float, loss: float) -> tuple[float, float]:
        return left[0] + scale * (m - low), foot + decade * math.log10(loss)

    for m, loss in zip(answer["grid"]["p0"], answer["loss"], strict=True):
        x, y = pixels(m, loss)
        assert min(math.hypot(x - px, y - py) for px, py in plane["curve"]) < 0.5
    at, slope = answer["at"], answer["at"]["grad"]
    assert math.dist(plane["here"], pixels(at["p0"], at["loss"])) < 0.5
    for px, py in plane["tangent"]:
        loss = 10 ** ((py - foot) / decade)
        across = abs(pixels(at["p0"] + (loss - at["loss"]) / slope, loss)[0] - px)
        height = at["loss"] + slope * ((px - left[0]) / scale + low - at["p0"])
        assert min(across, abs(pixels(0, height)[1] - py) if height > 0 else across) < 0.5  # flat or steep curves
    (x1, y1), *_, (x2, y2) = plane["tangent"]
    x, y = plane["here"]
    assert abs(y1 + (y2 - y1) * (x - x1) / (x2 - x1) - y) > 5, "the tangent must be bent"
    page.get_by_role("button", name="log scale").click()
    expect(page.locator(".plane .rung")).to_have_count(0)
    assert len(page.evaluate(PLANE)["tangent"]) == 3


@pytest.mark.parametrize("less", [1, 0.05], ids=["of some steps", "of none"])
def test_the_scale_stays_linear_with_a_remark_if_a_loss_is_not_positive(page: Page, less: float) -> None:
    program = FIT.replace(".mean()", f".mean() - {less}")
    made = recorded(page, program)
    assert made["steps"] == 4, made["error"]
    page.goto(f"/r/{made['id']}?tab=loss")
    expect(page.locator(".plane .curve")).to_be_visible(timeout=15_000)
    linear = page.evaluate(PLANE)
    expect(page.locator(".landscape .scale")).to_have_text("")
    page.get_by_role("button", name="log scale").click()
    expect(page.locator(".landscape .scale")).to_have_text("linear scale: some losses are ≤ 0")
    assert page.evaluate(PLANE) == linear


def test_contour_lines_have_a_constant_ratio_on_a_logarithmic_scale(page: Page) -> None:
    made = recorded(page, PAIR)
    page.goto(f"/r/{made['id']}?step=4&tab=loss")
    lines = page.locator(".plane .height title")
    expect(lines).not_to_have_count(0, timeout=15_000)
    levels = "lines => lines.map(line => Number(line.textContent.replace('−', '-')))"
    even = lines.evaluate_all(levels)
    page.get_by_role("button", name="log scale").click()
    remark = page.locator(".landscape .scale")
    expect(remark).to_have_text(re.compile(r"^each line: loss × \d"))
    ratio = float((remark.text_content() or "").rpartition(" ")[2])
    found = lines.evaluate_all(levels)
    assert found != even
    assert len(found) >= 3
    assert all(abs(after / before / ratio - 1) < 0.01 for before, after in pairwise(found))
    page.get_by_role("button", name="log scale").click()
    expect(remark).to_have_text("")
    assert lines.evaluate_all(levels) == even


def test_the_loss_of_two_parameters_is_a_contour_with_the_trajectory(page: Page) -> None:
    open_run(page, PAIR)
    page.get_by_role("button", name="Last step").click()
    expect(page.locator(".chart canvas").first).to_be_visible()
    contour = json.loads((static_path() / "manifest.json").read_text())["d3-contour.mjs"]
    loaded = "name => performance.getEntriesByType('resource').some(each => each.name.endsWith(name))"
    assert not page.evaluate(loaded, contour), "the contour library is loaded with the first contour"
    page.get_by_role("button", name=re.compile("Loss vs")).click()
    expect(page.locator(".plane .height")).not_to_have_count(0, timeout=15_000)
    assert page.evaluate(loaded, contour)
    expect(page.get_by_role("combobox", name="Loss vs.")).to_have_value("p0 p1")
    expect(page.locator(".plane .before")).to_have_count(4)
    expect(page.locator(".plane .way")).to_be_visible()
    expect(page.locator(".plane .arrow")).to_have_count(1)
    expect(page.locator(".plane .said")).to_have_text("−gradient")
    page.locator(".phase.update").click()
    expect(page.locator(".plane .said")).to_have_text(["−gradient", "update"])
    page.locator(".phase.loss").click()
    expect(page.locator(".plane .arrow")).to_have_count(0)


def test_a_program_that_is_not_repeatable_is_reported(page: Page) -> None:
    open_run(
        page,
        "import time\nimport torch\nm = torch.tensor(1., requires_grad=True)\nfor step in range(3):\n"
        "    loss = (m - time.time() % 100) ** 2\n    loss.backward()\n    with torch.no_grad():\n"
        "        m -= 0.1 * m.grad\n    m.grad = None",
    )
    page.get_by_role("button", name="Loss vs. m").click()
    expect(page.locator(".landscape .remark")).to_contain_text("Not repeatable", timeout=15_000)
    expect(page.locator(".plane")).to_be_hidden()
