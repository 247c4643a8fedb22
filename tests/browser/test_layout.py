"""Every page fits every width in both themes, and is accessible by keyboard and screen reader."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from .conftest import THEMES, WIDTHS, Problems
from .programs import FIT, LAST_SECTION, node, open_run, post, recorded, run

Look = Callable[[int, str], Page]
PAGES = ("/", "/examples", "/findings", "/guide/graph", "/docs", "/no-such-page")


OUTSIDE = """() => [...document.querySelectorAll("body *")]
    .filter(each => !each.closest("#canvas, .sheet, pre, .swagger-ui, .away") && each.getClientRects().length)
    .filter(each => each.getBoundingClientRect().right > innerWidth + 1)
    .map(each => each.id || each.className || each.tagName)"""


def outside(page: Page) -> list[str]:
    """Return the elements beyond the right edge of the window, whether the page scrolls there or cuts them off."""
    scrolls = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return [*page.evaluate(OUTSIDE), *(["the page scrolls sideways"] if scrolls else [])]


def violations(page: Page) -> list[str]:
    """Return the rules that axe reports as violated, with the elements."""
    return [
        f"{rule['id']}: {rule['help']}: {[node['html'][:200] for node in rule['nodes']]}"
        for rule in Axe().run(page).response["violations"]
    ]


def test_names_targets_and_headers_meet_the_rules_that_axe_only_offers(page: Page) -> None:
    open_run(page, FIT)
    expect(page.locator("#inspected .route")).to_be_visible()
    rules = {name: {"enabled": True} for name in ("target-size", "td-has-header", "label-content-name-mismatch")}
    found = Axe().run(page, options={"rules": rules}).response["violations"]
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found] == []


def test_questions_about_both_dimensions_are_apart_on_a_phone(look: Look) -> None:
    page = look(390, "light")
    open_run(
        page, "import torch\nx = torch.ones(4, 4)\nw = torch.ones(4, 4, requires_grad=True)\ny = x @ w\ny.sum().backward()\n"
    )
    node(page, "y = x @ w").dispatch_event("click")
    expect(page.get_by_role("button", name="Which rows of the data")).to_have_count(2)
    found = Axe().run(page, options={"rules": {"target-size": {"enabled": True}}}).response["violations"]
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found] == []


UNNAMED = """() => [...document.querySelectorAll("button[aria-label], a[aria-label], summary[aria-label]")]
    .filter(each => each.checkVisibility())
    .map(each => [each.innerText, each.getAttribute("aria-label")])
    .map(texts => texts.map(text => text.toLowerCase().match(/[\\p{L}\\p{N}½×%]+/gu) ?? []))
    .filter(([seen, name]) => seen.some(word => word.length > 1 && !name.includes(word)))"""


@pytest.mark.parametrize("width", [390, 1440])
def test_the_name_of_each_control_has_its_visible_words(look: Look, width: int) -> None:
    page = look(width, "light")
    page.goto("/")  # with the buttons of nodes
    assert page.evaluate(UNNAMED) == []
    open_run(page, FIT)
    assert page.evaluate(UNNAMED) == []
    speed = page.locator(".pace" if width == 390 else ".whole-steps")
    for _ in range(4 if width == 390 else 1):
        speed.click()
    if width == 390:
        expect(speed).to_have_text("½×")
    assert page.evaluate(UNNAMED) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", PAGES)
def test_every_page_fits_its_window(look: Look, path: str, width: int, problems: Problems) -> None:
    page = look(width, "light")
    if path == "/no-such-page":
        problems.expect("404")
    page.goto(path)
    assert not outside(page)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("path", ["/", "/examples", "/teach", "/guide/graph"])
def test_axe_reports_no_violation(look: Look, path: str, theme: str) -> None:
    page = look(1440, theme)
    page.goto(path)
    if path == "/":
        run(page, LAST_SECTION)
    assert not violations(page)


@pytest.mark.parametrize("width", [1024, 1440])
def test_a_graph_that_does_not_fit_opens_with_its_root_in_view(look: Look, width: int) -> None:
    page = look(width, "light")
    made = recorded(
        page,
        "import torch\nws = [torch.tensor(float(i), requires_grad=True) for i in range(14)]\n"
        "loss = torch.stack([w * w for w in ws]).sum()\nloss.backward()",
    )
    page.goto(f"/r/{made['id']}?layout=nodes")
    canvas, root = page.locator("#canvas").bounding_box(), page.locator("#canvas .node.root").bounding_box()
    assert canvas
    assert root
    assert canvas["x"] <= root["x"] < root["x"] + root["width"] <= canvas["x"] + canvas["width"]
    assert canvas["y"] <= root["y"] < root["y"] + root["height"] <= canvas["y"] + canvas["height"]


def test_a_training_is_seen_whole_on_a_low_screen(page: Page, server: str) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    page.goto(post(server, FIT))
    expect(page.locator("#canvas .node.selected")).to_have_count(1)
    expect(page.locator("#charts figure").first).to_be_visible()
    expect(page.locator(".key:visible small")).to_have_text(["first", "prev", "play", "next", "last"])
    expect(page.locator("#canvas .fades")).to_have_attribute("data-more", "")
    labels = page.locator(".legend .scale text").evaluate_all("all => all.map(each => each.getBoundingClientRect().toJSON())")
    assert all(one["right"] <= other["left"] for one, other in itertools.pairwise(labels))
    assert len(labels) == page.locator(".legend .scale path").count()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 900), (1024, 768)])
def test_nothing_moves_when_the_deck_appears(page: Page, server: str, problems: Problems, width: int, height: int) -> None:
    problems.expect("ERR_FAILED|Failed to fetch dynamically imported module")  # the blocked script
    page.set_viewport_size({"width": width, "height": height})
    script = re.compile(r"/static/playground-\w+\.js")
    for program in (FIT, LAST_SECTION):
        address = post(server, program)
        page.route(script, lambda route: route.abort())
        Page.goto(page, address)  # it will not be set up
        before = page.locator("#graph").bounding_box()
        page.unroute(script)
        page.goto(address)
        expect(page.locator(".deck")).to_be_visible()
        assert page.locator("#graph").bounding_box() == before


def test_the_selected_node_is_in_view_together_with_the_root(look: Look) -> None:
    page = look(1440, "light")
    program = (
        "import torch\nx = torch.linspace(-1, 1, 32).unsqueeze(1)\ny = torch.sin(3 * x)\n"
        "model = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "for step in range(3):\n    optimizer.zero_grad()\n    prediction = model(x)\n"
        "    loss = ((prediction - y) ** 2).mean()\n    loss.backward()\n    optimizer.step()"
    )
    made = recorded(page, program)
    nodes = page.request.get(f"/api/v1/runs/{made['id']}/graphs/g0").json()["nodes"]
    bias = next(each["id"] for each in nodes if each["name"] == "model.2.bias")
    page.goto(f"/r/{made['id']}?node={bias}")
    expect(page.locator("#canvas .node.selected")).to_have_count(1)
    for card_class in (".node.root", ".node.selected"):
        canvas, card = page.locator("#canvas").bounding_box(), page.locator(f"#canvas {card_class}").first.bounding_box()
        assert canvas
        assert card
        assert canvas["x"] <= card["x"] < card["x"] + card["width"] <= canvas["x"] + canvas["width"], card_class


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_a_picture_opens_at_a_readable_size_and_fades_where_it_continues(look: Look, width: int) -> None:
    page = look(width, "light")
    program = (
        "import torch\nw = torch.tensor(1.1, requires_grad=True)\ny = w\nfor i in range(9):\n    y = y.sin()\ny.backward()"
    )
    made = recorded(page, program)
    page.goto(f"/r/{made['id']}")
    size = """text => parseFloat(getComputedStyle(text).fontSize)
        * document.querySelector("#canvas .picture").getBoundingClientRect().width
        / document.querySelector("#canvas svg").width.baseVal.value"""
    assert page.locator("#canvas .selected [data-field=value]").evaluate(size) >= 9.9
    edges = page.locator("#canvas .fades")
    expect(edges).to_have_attribute("data-more", re.compile("^top( right)?$"))
    page.locator("#zoom").click()
    expect(edges).to_have_attribute("data-more", re.compile("^(bottom)?$"))
    page.wait_for_timeout(300)  # the picture glides
    assert page.locator("#canvas .root [data-field=value]").evaluate(size) >= 0.75 * 11
    canvas, root = page.locator("#canvas").bounding_box(), page.locator("#canvas .root").bounding_box()
    assert canvas
    assert root
    assert 0 <= root["y"] - canvas["y"] < 60, "a picture that does not fit must start at the top"


@pytest.mark.parametrize(
    ("width", "height", "theme"), [(1024, 768, "light"), (720, 450, "dark")]
)  # the latter: 1440 × 900 at 200 %
def test_axe_reports_no_violation_in_small_windows(look: Look, server: str, width: int, height: int, theme: str) -> None:
    page = look(width, theme)
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"/r/{recorded(page, LAST_SECTION + 'm.backward(m.grad_fn)')['id']}")
    expect(page.locator(".count")).to_have_text("1step, then an error")
    texts = page.locator(".count > :visible, .key:visible, .phase").evaluate_all(
        "all => all.map(each => each.getBoundingClientRect().toJSON())"
    )
    assert all(one["right"] <= other["left"] + 0.5 for one, other in itertools.pairwise(texts)), (
        "the parts of the deck are beside each other"
    )
    assert not violations(page)
    page.locator(".cm-content").focus()
    page.keyboard.type("1")
    expect(page.locator(".cm-editor.cm-stale")).to_be_visible()
    assert not violations(page)
    assert not outside(page)


@pytest.mark.parametrize("theme", THEMES)
def test_axe_reports_no_violation_while_two_runs_are_compared(look: Look, theme: str) -> None:
    page = look(1440, theme)
    open_run(page, FIT)
    other = recorded(page, FIT.replace("0.05", "0.02"))["id"]
    page.goto(f"{page.url.partition('?')[0]}?compare={other}&step=2&phase=update")
    expect(page.locator(".tape .ahead .curve.other")).to_be_visible()
    page.get_by_role("button", name="Optimizer").click()
    assert not violations(page)
    assert not outside(page)


@pytest.mark.parametrize("theme", THEMES)
def test_axe_reports_no_violation_on_a_phone_with_many_steps(look: Look, theme: str) -> None:
    page = look(390, theme)
    open_run(page, FIT)
    assert not violations(page)
    assert not outside(page)


@pytest.mark.parametrize("width", [320, 390])
def test_the_scale_can_be_switched_by_touch_on_a_phone(look: Look, width: int) -> None:
    page = look(width, "light")
    made = recorded(page, FIT.replace("range(4)", "range(1200)"))
    page.goto(f"/r/{made['id']}?step=1100")
    expect(page.locator(".count b")).to_have_text("1100")
    scale = page.get_by_role("button", name="log scale")
    own, *others = [each.bounding_box() for each in [scale, page.locator(".count b"), *page.locator(".key:visible").all()]]
    assert own
    assert min(own["width"], own["height"]) >= 32
    assert len(others) == 7
    for other in others:
        assert other
        assert other["x"] + other["width"] + 4 <= own["x"], "the button must not overlap its neighbours"
    assert not outside(page)
    curve = page.locator(".tape .ahead .curve")
    before = curve.get_attribute("d") or ""
    scale.click()
    expect(scale).to_have_attribute("aria-pressed", "true")
    expect(curve).not_to_have_attribute("d", before)
    expect(page).to_have_url(re.compile("log=1"))


def test_the_theme_is_switched_and_saved(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    page.goto("/")
    background = "() => getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(250, 250, 248)"
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(background) == "rgb(18, 19, 21)"
    page.goto("/examples")
    assert page.evaluate(background) == "rgb(18, 19, 21)"
    page.goto("/?theme=light")
    assert page.evaluate(background) == "rgb(250, 250, 248)"


def test_the_graph_is_walked_with_the_arrow_keys(page: Page) -> None:
    open_run(page, LAST_SECTION)
    assert page.locator("#canvas [tabindex='0']").count() == 1, "the graph is one tab stop"
    node(page, "m").focus()
    title = page.locator("#inspected h3")
    for expected in ("y_pred = m * x", "y_pred - y", "(y_pred - y) ** 2", "loss = ((y_pred - y) ** 2).mean()"):
        page.keyboard.press("ArrowUp")
        expect(title).to_have_text(expected)
    page.keyboard.press("ArrowDown")
    expect(title).to_have_text("(y_pred - y) ** 2")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(title).to_have_text("y")
    expect(page.locator("#canvas :focus")).to_have_class(re.compile("constant"))


def test_everything_can_be_done_from_the_keyboard(page: Page) -> None:
    page.goto("/")
    page.locator(".cm-content").focus()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.insert_text(FIT)
    page.keyboard.press("ControlOrMeta+Enter")
    expect(page.locator(".count")).to_contain_text("of 0–3")
    page.get_by_role("slider", name="Training step").focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".count b")).to_have_text("1")
    page.keyboard.press("End")
    expect(page.locator(".count b")).to_have_text("3")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuetext", re.compile(r"step 3, backward, loss 0\.1074"))
    page.keyboard.press("Home")
    page.get_by_role("button", name="Next step").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".phase.update[aria-pressed=true]")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".phase.forward[aria-pressed=true]")).to_be_visible()
    expect(page.locator(".count b")).to_have_text("1")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_hidden()


def test_escape_and_tab_leave_the_editor(page: Page) -> None:
    page.goto("/")
    page.locator(".cm-content").focus()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert not page.evaluate("document.activeElement.closest('.cm-editor') !== null")


def test_the_picture_can_be_zoomed_fitted_and_turned(page: Page) -> None:
    open_run(page, LAST_SECTION)
    zoom = page.locator("#zoom")
    before = zoom.text_content()  # the whole picture fits
    page.get_by_role("button", name="Zoom in").click()
    expect(zoom).not_to_have_text(before or "")
    zoom.click()
    expect(zoom).to_have_text(before or "")

    def top(title: str) -> float:
        box = node(page, title).bounding_box()
        return box["y"] if box else float("nan")  # the picture is being replaced

    assert top("m") > top("y_pred - y")
    page.get_by_role("button", name=re.compile("Loss below")).click()
    expect(page).to_have_url(re.compile("direction=BT"))
    for _ in range(100):  # wait until the server has drawn the picture
        if top("m") < top("y_pred - y"):
            break
        page.wait_for_timeout(50)
    assert top("m") < top("y_pred - y")


def test_reduced_motion_disables_transitions(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto("/")
    assert page.evaluate("getComputedStyle(document.querySelector('#canvas .shaft')).transitionDuration") == "0s"


def test_panes_are_resized_hidden_and_remembered(look: Look) -> None:
    page = look(1440, "light")
    page.goto("/")
    bar = page.get_by_role("separator", name="Width of the program")
    editor, graph = page.locator("#program"), page.locator("#graph")
    before, box = editor.bounding_box(), bar.bounding_box()
    assert before
    assert box
    page.mouse.move(box["x"] + 4, 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 104, 300, steps=3)
    page.mouse.up()
    expect(bar).to_have_attribute("aria-valuenow", str(round(before["width"]) + 100))
    bar.press("ArrowLeft")
    expect(bar).to_have_attribute("aria-valuenow", str(round(before["width"]) + 76))
    page.get_by_role("button", name="Hide the inspector").click()
    page.reload()
    expect(bar).to_have_attribute("aria-valuenow", str(round(before["width"]) + 76))
    expect(page.locator("#inspected")).to_be_hidden()
    assert not outside(page)
    assert not violations(page)
    page.get_by_role("button", name="Show the inspector").click()
    expect(page.locator("#inspected")).to_be_visible()
    bar.dblclick()
    expect(bar).to_have_attribute("aria-valuenow", str(round(before["width"])))
    page.set_viewport_size({"width": 2560, "height": 1300})
    wide, middle = editor.bounding_box(), graph.bounding_box()
    assert wide
    assert middle
    assert wide["width"] >= 600
    assert middle["width"] >= 1000


@pytest.mark.parametrize(("width", "height"), [(390, 844), (720, 450)])  # a phone; a laptop at 200 %
def test_a_small_screen_has_every_control(look: Look, width: int, height: int) -> None:
    page = look(width, "light")
    page.set_viewport_size({"width": width, "height": height})
    page.goto("/")
    page.get_by_role("button", name="Graph", exact=True).click()
    expect(page.get_by_role("button", name="Graph", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#canvas .selected")).to_be_in_viewport()
    more = page.locator("#more summary")
    more.scroll_into_view_if_needed()
    more.click()
    assert not outside(page)
    assert not violations(page)
    expect(page.locator("#more").get_by_role("link", name="SVG picture")).to_have_attribute("href", re.compile("graph.svg"))
    page.get_by_role("button", name="Loss on the left").click()
    expect(page).to_have_url(re.compile("direction=LR"))
    for name in ("My runs", "Keyboard and help"):
        more.click()
        page.locator("#more").get_by_role("button", name=name).click()
        expect(page.locator("dialog[open]")).to_be_visible()
        page.locator("dialog[open]").get_by_role("button", name="Close").click()


@pytest.mark.parametrize("example", ["backpropagation", "cross-entropy"])
@pytest.mark.parametrize("width", [390, 1024, 1181, 1280, 1440])
def test_the_line_that_introduces_the_page_is_whole_beside_any_example_s_name(look: Look, width: int, example: str) -> None:
    page = look(width, "light")
    page.goto(f"/?example={example}")
    line = page.locator(".tagline")
    expect(line).to_be_visible()
    assert line.evaluate("each => each.scrollWidth <= each.clientWidth && each.scrollHeight <= each.clientHeight")
    top, own = page.locator(".top").bounding_box(), line.bounding_box()
    assert top
    assert own
    assert top["height"] <= (48 if width > 1180 else 80)
    assert own["y"] + own["height"] <= top["y"] + top["height"]
    assert page.locator(".top").evaluate("each => each.scrollWidth <= each.clientWidth")


def test_all_lines_of_the_first_program_are_in_view_beside_the_inspector_below_it(page: Page) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    page.goto("/")
    expect(page.locator(".cm-line")).to_have_count(17)
    expect(page.locator(".cm-value").first).to_be_visible()
    hidden = """() => { const end = document.querySelector(".cm-scroller").getBoundingClientRect().bottom;
        return [...document.querySelectorAll(".cm-line")].filter(each => each.getBoundingClientRect().bottom > end).length; }"""
    assert page.evaluate(hidden) == 0
    expect(page.locator("#inspected h3")).to_be_in_viewport()


def test_the_switch_between_the_parts_covers_nothing_on_a_phone(look: Look) -> None:
    page = look(390, "light")
    page.goto("/")
    switch, bar = page.get_by_role("navigation", name="Parts of the page"), page.locator(".top")
    above, below = bar.bounding_box(), switch.bounding_box()
    assert above
    assert below
    assert below["y"] >= above["y"] + above["height"] - 1
    switch.get_by_role("button", name="Details").click()
    expect(switch.get_by_role("button", name="Details")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#inspector-title")).to_be_in_viewport()
    page.wait_for_function("() => document.querySelector('.jump').getBoundingClientRect().top === 0")
    place, title = switch.bounding_box(), page.locator("#inspector-title").bounding_box()
    assert place
    assert title
    assert place["y"] == 0
    assert title["y"] >= place["y"] + place["height"]


def test_two_runs_are_compared_on_a_phone(look: Look) -> None:
    page = look(390, "light")
    other = recorded(page, FIT.replace("0.05", "0.02"))["id"]
    open_run(page, FIT)
    choice = page.locator("#charts .compare")
    choice.locator("summary").click()
    assert not outside(page)
    choice.locator(".sheet button").first.click()
    expect(page).to_have_url(re.compile(f"compare={other}"))
    expect(choice.locator(".pair")).to_contain_text("0.05")
    expect(choice.locator(".pair")).to_contain_text("0.02")
    assert not outside(page)
    for theme in THEMES:
        look(390, theme)
        assert not violations(page)
    look(1440, "light")
    expect(page.locator(".reel .compare .pair")).to_be_visible()
    choice = page.locator(".reel .compare")
    choice.get_by_role("button", name="Stop comparing").click()
    expect(choice.locator("summary")).to_be_focused()
