"""A person finds a single node of a large graph: by search, by its name anywhere on the page, and by walking the map."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import THEMES, Problems
from .programs import post
from .test_layout import outside, violations

Look = Callable[[int, str], Page]

TRANSFORMER = """import torch
from torch import nn

class Attention(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.qkv, self.out_proj = nn.Linear(size, 3 * size), nn.Linear(size, size)
    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.out_proj((q @ k.transpose(-1, -2)).softmax(-1) @ v)

class Block(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.ln, self.attn = nn.LayerNorm(size), Attention(size)
    def forward(self, x):
        return x + self.attn(self.ln(x))

class Model(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.layers = nn.ModuleList([Block(size) for _ in range(48)])
        self.head = nn.Linear(size, 1)
    def forward(self, x):
        for block in self.layers:
            x = block(x)
        return self.head(x)

torch.manual_seed(0)
model = Model(4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.randn(2, 3, 4)
for step in range(2):
    optimizer.zero_grad()
    loss = model(x).pow(2).mean()
    loss.backward()
    optimizer.step()
"""
RECURRENT = """import torch
from torch import nn
cell = nn.RNNCell(3, 4)
h = torch.zeros(2, 4)
loss = 0
for t in range(100):
    h = cell(torch.ones(2, 3), h)
    loss = loss + h.sum()
loss.backward()
"""
TWO_GRAPHS = """import torch
w = torch.ones(3, requires_grad=True)
(w.sin() * 2).sum().backward()
y = w
for k in range(300):
    y = y * 1.01
y.sum().backward()
z = w
for k in range(200):
    z = z.sin()
z
"""
ROOTS = """import torch
a = torch.ones(3, requires_grad=True)
roots = [(a * n).sin().sum() for n in range(45)]
torch.autograd.backward(roots)
"""
NAN = """import torch
x = torch.zeros(3, requires_grad=True)
y = x
for k in range(400):
    y = y * 1.5 + 0.0
(y.sqrt() * 0).sum().backward()
"""


@pytest.fixture(scope="module")
def runs(server: str) -> dict[str, str]:
    """Return the paths of the pages of recorded runs, each made once."""
    programs = {"transformer": TRANSFORMER, "recurrent": RECURRENT, "nan": NAN, "two": TWO_GRAPHS, "roots": ROOTS}
    return {name: post(server, program) for name, program in programs.items()}


@pytest.fixture
def visit(look: Look, runs: dict[str, str]) -> Callable[..., Page]:
    """Return a function that opens the page of a run whose graph is a map."""

    def open_page(name: str, query: str = "", width: int = 1440, theme: str = "light") -> Page:
        page = look(width, theme)
        page.goto(runs[name] + query)
        expect(page.locator("#canvas svg.map")).to_be_visible()
        expect(page.get_by_role("combobox", name="Search the graph")).to_be_visible()
        return page

    return open_page


Visit = Callable[..., Page]

WATCH_CHILDREN = """() => {
    const picture = document.querySelector("#canvas .picture");
    [window.added, window.first] = [0, picture.querySelector(".box [data-field=grad]")];
    const isElement = (node) => node.nodeType === Node.ELEMENT_NODE;
    new MutationObserver((all) => { window.added += all.filter((each) => [...each.addedNodes].some(isElement)).length; })
        .observe(picture, { childList: true, subtree: true });
}"""
WATCH_ANIMATIONS = """() => {
    const picture = document.querySelector("#canvas .picture");
    window.animations = 0;
    const count = () => (window.animations += picture.querySelectorAll("g").values()
        .reduce((sum, each) => sum + each.getAnimations().filter((one) => !(one instanceof CSSTransition)).length, 0));
    new MutationObserver(count).observe(picture, { childList: true });
}"""
WRITTEN = """(expected) => {
    const parsed = new DOMParser().parseFromString(expected, "image/svg+xml").documentElement;
    const parts = (svg) => [...svg.querySelectorAll("text, title, .box, .shaft, [data-field=bar], [data-turns]")];
    const texts = (each) => [each.tagName, each.children.length ? "" : each.textContent, each.dataset.first, each.dataset.last,
        each.tagName === "g" ? "" : each.getAttribute("class")].join(" ");
    const sizes = (each) => ["width", "stroke-width", "d"].flatMap((name) => each.getAttribute(name)?.match(/[\\d.]+/g) ?? []);
    return [document.querySelector("#canvas svg"), parsed].map((svg) =>
        ({ texts: parts(svg).map(texts), sizes: parts(svg).flatMap(sizes).map(Number) }));
}"""
SMALLEST_TEXT = """() => {
    const texts = [...document.querySelectorAll("#canvas svg.map text")].filter((each) => each.getClientRects().length);
    return Math.min(...texts.map((each) => parseFloat(getComputedStyle(each).fontSize) * each.getScreenCTM().a));
}"""


def inside_canvas(page: Page, shown: Locator) -> bool:
    canvas, own = page.locator("#canvas").bounding_box(), shown.bounding_box()
    assert canvas
    assert own
    across = canvas["x"] <= own["x"] and own["x"] + own["width"] <= canvas["x"] + canvas["width"] + 1
    return across and canvas["y"] <= own["y"] and own["y"] + own["height"] <= canvas["y"] + canvas["height"] + 1


def test_a_parameter_is_found_by_keyboard(visit: Visit) -> None:
    page = visit("transformer")
    page.locator("#canvas [tabindex='0']").first.focus()
    page.keyboard.press("/")
    field = page.get_by_role("combobox", name="Search the graph")
    expect(field).to_be_focused()
    page.keyboard.type("layers.31.attn.out_proj.weight")
    expect(page.locator(".hit-count")).to_have_text("1 hit")
    page.keyboard.press("Enter")
    expect(page.locator("#inspected h3")).to_have_text("model.layers.31.attn.out_proj.weight")
    user = page.locator("#canvas .box.user")
    expect(user).to_be_visible()
    expect(page.locator(".crumbs")).to_contain_text(re.compile(r"layers\.31.*attn.*out_proj"))
    page.wait_for_timeout(300)
    assert inside_canvas(page, user)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("#canvas :focus")).to_be_visible()


def test_a_parameter_is_found_by_pointer(visit: Visit) -> None:
    page = visit("transformer")
    field = page.get_by_role("combobox", name="Search the graph")
    field.click()
    field.fill("layers.31 weight")
    page.locator(".hits").get_by_role("option", name="model.layers.31.attn.out_proj.weight").click()
    expect(page.locator("#inspected h3")).to_have_text("model.layers.31.attn.out_proj.weight")
    expect(page.locator("#canvas .box.user")).to_be_visible()
    expect(page).to_have_url(re.compile(r"node=n\d+.*view="))


def test_hits_are_counted_listed_and_stepped_through(visit: Visit) -> None:
    page = visit("transformer")
    field = page.get_by_role("combobox", name="Search the graph")
    field.click()
    expect(page.get_by_role("option", name="grad > 1e3")).to_be_visible()
    field.fill("softmaxbackward")
    expect(page.locator(".hit-count")).to_have_text("48 hits")
    expect(page.locator("#canvas .box.hit")).not_to_have_count(0)
    page.get_by_role("button", name="Next hit").click()
    expect(page.locator(".hit-count")).to_have_text("1 of 48")
    page.get_by_role("button", name="Previous hit").click()
    expect(page.locator(".hit-count")).to_have_text("48 of 48")
    expect(page.locator("#canvas .box.op.selected")).to_be_visible()
    field.fill("grad > 1e")
    expect(page.locator(".hits .note.bad")).to_contain_text("grad > 1e3")
    field.fill("grad > 1e3")
    expect(page.locator(".hits .note").first).to_contain_text("Nothing matches")


@pytest.mark.parametrize("theme", THEMES)
def test_axe_reports_no_violation_while_searching(visit: Visit, theme: str) -> None:
    page = visit("transformer", theme=theme)
    page.get_by_role("combobox", name="Search the graph").fill("softmax")
    expect(page.get_by_role("option").first).to_be_visible()
    page.get_by_role("button", name="Next hit").click()
    expect(page.locator("#canvas .box.selected")).to_be_visible()
    assert not violations(page)
    assert not outside(page)


def first_nan(page: Page) -> str:
    """Wait until the inspector shows the first operation that receives NaN, and return its node."""
    expect(page.locator("#canvas .box.selected")).to_be_visible()
    expect(page.locator("#inspected")).to_contain_text("4th of")  # after sum, mul and sqrt, which makes the NaN
    expect(page.locator("#inspected")).to_contain_text("Gradient sent on")
    expect(page.locator("#inspected .bad, #inspected :text('nan')").first).to_be_visible()
    return page.locator("#canvas .box.selected").get_attribute("data-node") or ""


def test_the_first_nan_is_found_by_keyboard(visit: Visit) -> None:
    page = visit("nan")
    page.locator("#canvas [tabindex='0']").first.focus()
    page.keyboard.press("/")
    page.keyboard.type("nan")
    expect(page.locator(".hit-count")).to_contain_text("hits")
    page.keyboard.press("Enter")
    first_nan(page)


def test_the_first_nan_is_found_by_pointer(visit: Visit) -> None:
    page = visit("nan")
    field = page.get_by_role("combobox", name="Search the graph")
    field.click()
    field.fill("nan")
    expect(page.locator(".hit-count")).to_contain_text("hits")
    hits = page.locator(".hits").get_by_role("option")
    hits.first.click()
    first = first_nan(page)
    for index in (1, 0):
        field.click()
        hits.nth(index).click()
        expect(page.locator(f"#canvas .box.selected[data-node={first}]")).to_have_count(1 - index)


def test_a_turn_of_a_loop_opens_by_keyboard(visit: Visit) -> None:
    page = visit("recurrent")
    loop = page.locator("#canvas .box.loop")
    loop.focus()
    page.keyboard.type("57")
    expect(page.locator("#canvas .typed")).to_have_text("Turn 57")
    page.keyboard.press("Enter")
    turn = page.locator("#canvas [data-group$='/57']")
    expect(turn).to_be_focused()
    page.wait_for_timeout(300)
    assert inside_canvas(page, turn.locator("text").first)


def test_a_turn_of_a_loop_opens_by_pointer(visit: Visit) -> None:
    page = visit("recurrent")
    bars = page.locator("#canvas .box.loop [data-turns]")
    size = bars.bounding_box()
    count = int(bars.get_attribute("data-turns") or 0)
    assert size
    x = size["x"] + (count - 1 - 57 + 0.4) * size["width"] / (count - 0.2)
    page.mouse.click(x, size["y"] + size["height"] - 3)
    expect(page.locator("#canvas [data-group$='/57']")).to_be_visible()


def test_a_leaf_that_is_used_in_every_turn_has_one_card_and_a_short_list(visit: Visit) -> None:
    page = visit("recurrent")
    page.get_by_role("combobox", name="Search the graph").fill("weight_hh")
    expect(page.locator(".hit-count")).to_have_text("1 hit")
    page.keyboard.press("Enter")
    expect(page.locator("#inspected h3")).to_have_text("cell.weight_hh")
    inspector = page.locator("#inspected")
    expect(inspector).to_contain_text("more are not listed")
    assert inspector.get_by_text("from ", exact=False).count() < 40


def test_a_view_of_a_large_graph_does_not_make_a_map_of_a_small_one(visit: Visit) -> None:
    page = visit("two")
    page.locator("#canvas .box.loop").click(position={"x": 20, "y": 12})
    expect(page.locator("#canvas .frame")).not_to_have_count(0)
    page.locator("#chosen").select_option(index=0)
    expect(page.locator("#canvas .node.root")).to_be_visible()
    expect(page.locator("#canvas svg.map")).to_have_count(0)


def test_a_graph_that_no_pass_reached_has_no_box_that_runs_and_refuses_conditions(visit: Visit, problems: Problems) -> None:
    problems.expect("422.*/search")
    page = visit("two", "?graph=g2")
    expect(page.locator("#canvas .box")).not_to_have_count(0)
    expect(page.locator("#canvas .box.now")).to_have_count(0)
    page.get_by_role("combobox", name="Search the graph").fill("grad > 1")
    expect(page.locator(".hits")).to_contain_text("no backward pass reached this graph")


@pytest.mark.parametrize(("motion", "animated"), [("no-preference", True), ("reduce", False)])
def test_groups_open_without_an_animation_if_reduced_motion_is_preferred(visit: Visit, motion: Any, animated: bool) -> None:
    page = visit("recurrent")
    page.emulate_media(reduced_motion=motion)
    page.evaluate(WATCH_ANIMATIONS)
    page.locator("#canvas .box.loop").click(position={"x": 20, "y": 12})
    expect(page.locator("#canvas .frame")).not_to_have_count(0)
    assert (page.evaluate("window.animations") > 0) is animated


def test_arrow_keys_walk_through_closed_groups(visit: Visit) -> None:
    page = visit("transformer", "?view=")
    first = page.locator("#canvas .box").first
    first.focus()
    page.keyboard.press("ArrowDown")
    focused = page.locator("#canvas .box:focus")
    expect(focused).not_to_have_attribute("data-group", first.get_attribute("data-group") or "")
    page.keyboard.press("Enter")
    expect(page.locator("#canvas .frame:focus")).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#canvas .box:focus")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#canvas .frame:focus")).to_be_visible()
    assert page.locator("#canvas [tabindex='0']:not(.overview)").count() == 1, "the map is one tab stop"


def test_the_groups_of_a_node_open_again_after_the_breadcrumb_has_closed_them(visit: Visit) -> None:
    page = visit("transformer", "?node=n300")
    expect(page.locator("#canvas .box.op.selected")).to_be_visible()
    page.wait_for_timeout(300)
    assert inside_canvas(page, page.locator("#canvas .box.op.selected")), "the node of the address is in view"
    page.locator(".crumbs").get_by_role("button", name="graph", exact=True).click()
    expect(page.locator("#canvas .box.op.selected")).to_have_count(0)
    page.get_by_role("button", name="Open its groups").click()
    expect(page.locator("#canvas .box.op.selected")).to_be_visible()
    page.wait_for_timeout(300)
    assert inside_canvas(page, page.locator("#canvas .box.op.selected"))


def test_a_parameter_of_the_charts_is_shown_on_the_map(visit: Visit) -> None:
    page = visit("transformer")
    page.get_by_label("Parameter", exact=True).select_option(label="model.layers.2.attn.qkv.weight [12, 4]")
    expect(page.locator("#canvas .box.user")).to_be_visible()
    expect(page.locator(".crumbs")).to_contain_text("layers.2")
    page.get_by_label("Parameter", exact=True).select_option(label="model.layers.40.attn.qkv.weight [12, 4]")
    expect(page.locator(".crumbs")).to_contain_text("layers.40")
    expect(page.locator("#charts .chart .u-over, #charts canvas").first).to_be_visible()
    expect(page.locator("#charts")).not_to_contain_text("no value in any step")


@pytest.mark.parametrize(("name", "layout"), [("transformer", "graph"), ("transformer", "rows")])
def test_a_step_writes_the_numbers_of_its_picture_into_the_same_boxes(visit: Visit, name: str, layout: str) -> None:
    view = "m:model.layers.2.attn,m:model/f:model.layers.0/40"
    page = visit(name, f"?view={view}&layout={layout}")
    expect(page.locator(f"#canvas svg[data-layout={layout}]")).to_be_visible()
    page.evaluate(WATCH_CHILDREN)
    pictures: list[str] = []
    page.on("request", lambda request: pictures.append(request.url) if "graph.svg" in request.url else None)
    before = page.locator("#canvas .box [data-field=grad]").last.text_content()
    for button, index in (("Next step", 1), ("Previous step", 0)):
        page.get_by_role("button", name=button).click()
        expect(page.locator("#canvas .box [data-field=grad]").last).not_to_have_text(before or "")
        before = page.locator("#canvas .box [data-field=grad]").last.text_content()
        assert not pictures, "a step fetches numbers only"
        path = f"/api/v1{page.url.partition('/r')[2].partition('?')[0].join(('/runs', ''))}/passes/{index}/graph.svg"
        expected = page.request.get(f"{path}?theme=inline&view={view}&layout={layout}").text()
        written, drawn = page.evaluate(WRITTEN, expected)
        assert written["texts"] == drawn["texts"]
        assert written["sizes"] == pytest.approx(drawn["sizes"], abs=0.11)
        assert len(written["texts"]) > 90
        pictures.clear()
    assert page.evaluate("window.added") == 0
    assert page.evaluate("window.first.isConnected")


def test_the_gradient_travels_through_the_groups(visit: Visit) -> None:
    page = visit("transformer")
    page.locator("#canvas .box").first.focus()
    waiting = page.locator("#canvas .box.waiting")
    boxes = page.locator("#canvas .box").count()
    page.keyboard.press("PageUp")
    expect(waiting).to_have_count(boxes)
    for ran in range(1, 4):
        page.keyboard.press(".")
        expect(waiting).to_have_count(boxes - ran)
        expect(page.locator("#canvas .box.now")).to_have_count(1)
    page.keyboard.press(",")
    expect(waiting).to_have_count(boxes - 2)


def test_text_on_the_map_is_never_smaller_than_nine_pixels(visit: Visit) -> None:
    page = visit("transformer", "?node=n300")
    expect(page.locator("#canvas .box.op.selected")).to_be_visible()
    zoom = page.locator("#zoom")
    for _ in range(8):
        assert page.evaluate(SMALLEST_TEXT) >= 8.9, zoom.text_content()
        page.get_by_role("button", name="Zoom out").click()
        page.wait_for_timeout(260)
    zoom.click()
    page.wait_for_timeout(260)
    assert int((zoom.text_content() or "0").rstrip("%")) >= 75


def test_the_overview_moves_the_map(visit: Visit) -> None:
    page = visit("transformer", "?node=n300")
    expect(page.locator("#canvas .box.op.selected")).to_be_visible()
    corner = page.locator(".overview")
    expect(corner).to_be_visible()
    page.wait_for_timeout(400)  # wait until the map no longer moves
    drawing = page.locator(".overview svg").bounding_box()
    assert drawing
    first = page.locator("#canvas .box").first
    page.mouse.move(drawing["x"] + drawing["width"] / 2, drawing["y"] + drawing["height"] - 4)
    page.mouse.down()
    page.mouse.move(drawing["x"] + drawing["width"] / 2, drawing["y"] + 4, steps=4)
    page.mouse.up()
    assert inside_canvas(page, first)
    corner.focus()
    before = first.bounding_box()
    page.keyboard.press("ArrowDown")
    after = first.bounding_box()
    assert before
    assert after
    assert after["y"] < before["y"]


@pytest.mark.parametrize(
    ("name", "query", "layout"), [("transformer", "", "rows"), ("transformer", "?layout=graph", "graph"), ("roots", "", "rows")]
)
def test_a_map_on_a_phone_is_drawn_as_rows_that_need_no_panning_sideways(
    visit: Visit, name: str, query: str, layout: str
) -> None:
    page = visit(name, query, width=390)
    expect(page.locator(f"#canvas svg.map[data-layout={layout}]")).to_be_visible()
    expect(page.locator("#canvas svg.map")).to_have_count(1)
    page.locator("#canvas").scroll_into_view_if_needed()
    if layout == "rows":
        boxes = [box.bounding_box() for box in page.locator("#canvas .box").all()]
        assert boxes
        assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)


def test_fingers_pan_and_zoom_the_map_on_a_phone(page: Page, visit: Visit) -> None:
    touch = page.context.new_cdp_session(page)
    touch.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    visit("transformer", "?node=n300", width=390)
    expect(page.locator("#canvas .box.op.selected")).to_be_visible()
    assert not outside(page)
    page.locator("#canvas").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    canvas = page.locator("#canvas").bounding_box()
    assert canvas
    x, y = canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2

    def send(kind: str, *points: tuple[float, float]) -> None:
        listed = [{"x": px, "y": py, "id": index} for index, (px, py) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": listed})

    place = "() => new DOMMatrix(getComputedStyle(document.querySelector('#canvas .picture')).transform).toJSON()"
    before, scrolled = page.evaluate(place), page.evaluate("scrollY")
    send("touchStart", (x, y))
    for moved in (20, 40, 60):
        send("touchMove", (x, y - moved))
    send("touchEnd")
    panned = page.evaluate(place)
    assert panned["f"] == pytest.approx(before["f"] - 60, abs=15)
    assert page.evaluate("scrollY") == scrolled
    send("touchStart", (x - 30, y), (x + 30, y))
    for apart in (40, 60, 80):
        send("touchMove", (x - apart, y), (x + apart, y))
    send("touchEnd")
    assert page.evaluate(place)["a"] > 1.5 * panned["a"]
