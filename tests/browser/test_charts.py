"""The tape and the charts show the recorded numbers, and no label is cut off or crossed by a line."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from .programs import FIT, node, open_run, recorded, run, run_another
from .test_layout import violations

ONCE_INFINITE = """\
import torch
w = torch.tensor(1., requires_grad=True)
for step in range(6):
    x = torch.tensor(float("inf") if step == 2 else 2.)
    loss = (w * x) ** 2
    w.grad = None
    loss.backward()
    if torch.isfinite(w.grad):
        with torch.no_grad():
            w -= 0.01 * w.grad
"""

FAILING = """\
import torch
w = torch.tensor([1., 2., 3.], requires_grad=True)
for step in range(3):
    h = torch.exp(w)
    loss = h.sum()
    if step == 1:
        h.add_(1)
    w.grad = None
    loss.backward()
    with torch.no_grad():
        w -= 0.01 * w.grad
"""

LBFGS = """\
import torch
a = torch.tensor(-1.2, requires_grad=True)
b = torch.tensor(1., requires_grad=True)
optimizer = torch.optim.LBFGS([a, b], lr=0.5, max_iter=5, line_search_fn="strong_wolfe")

def closure():
    optimizer.zero_grad()
    loss = (1 - a) ** 2 + 100 * (b - a ** 2) ** 2
    loss.backward()
    return loss

for step in range(4):
    optimizer.step(closure)
"""

MET = """() => {
    const tape = document.querySelector(".tape");
    const words = [...tape.querySelectorAll("text")].filter(text => getComputedStyle(text).visibility === "visible");
    const room = tape.getBoundingClientRect();
    const outside = words.filter(text => {
        const own = text.getBoundingClientRect();
        return own.left < room.left || own.right > room.right;
    });
    const inside = (box, x, y) => x > box.left && x < box.right && y > box.top + 2 && y < box.bottom - 2;
    const lines = [...tape.querySelectorAll(".ahead .curve, .head")];
    const crossed = words.filter(text => lines.some(line => {
        const [box, long] = [text.getBoundingClientRect(), line.getTotalLength()];
        for (let at = 0; at <= long; at += 1) {
            const { x, y } = line.getPointAtLength(at);
            if (inside(box, room.left + x, room.top + y)) return true;
        }
        return false;
    }));
    return [outside, crossed].map(found => found.map(text => text.textContent));
}"""


def test_an_infinite_loss_is_labelled_at_its_step_and_breaks_the_curve(page: Page) -> None:
    page.goto(f"/r/{recorded(page, ONCE_INFINITE)['id']}?step=4")
    expect(page.locator(".tape .bad")).to_have_text("∞ at step 2")
    pieces = (page.locator(".tape .ahead .curve").get_attribute("d") or "").split("M")[1:]
    assert [piece.count("L") + 1 for piece in pieces] == [2, 3]


def test_a_gradient_that_did_not_arrive_has_no_number(page: Page) -> None:
    page.goto(f"/r/{recorded(page, FAILING)['id']}?step=1")
    chart = page.locator(".chart").nth(1)
    expect(chart.locator("figcaption")).to_have_text("w.grad·")
    expect(chart.locator("figcaption > span").first).to_have_text("w.grad")


def test_a_chart_without_numbers_shows_a_remark(page: Page) -> None:
    nothing = FIT.replace("torch.tensor(1.,", "torch.tensor(float('nan'),")
    page.goto(f"/r/{recorded(page, nothing)['id']}")
    for chart in page.locator(".chart").all():
        expect(chart.locator(".remark")).to_have_text("not finite in any step")
        expect(chart.locator(".plot")).to_be_hidden()
    never = (
        "import torch\nk = torch.tensor(2., requires_grad=True)\nm = torch.tensor(3., requires_grad=True)\n"
        "for i in range(3):\n    m.grad = None\n    (k * m).backward(inputs=[m])\n"
    )
    page.goto(f"/r/{recorded(page, never)['id']}")
    expect(page.locator(".chart").nth(1)).to_contain_text("None in every step")


@pytest.mark.parametrize("width", [1024, 1440])
@pytest.mark.parametrize(
    "program", [LBFGS, FAILING, FIT, FIT.replace("range(4)", "range(1000)")], ids=["bent", "failing", "few", "many"]
)
def test_no_label_of_the_tape_is_cut_off_or_crossed(page: Page, width: int, program: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    made = recorded(page, program)
    for step in {0, made["steps"] // 2, made["steps"] - 1}:
        page.goto(f"/r/{made['id']}?step={step}&phase=forward")
        expect(page.locator(".tape .curve").first).to_be_attached()
        outside, crossed = page.evaluate(MET)
        assert not outside
        assert not crossed, step


def test_the_labels_of_a_long_stopped_run_fit(page: Page) -> None:
    made = recorded(page, FIT.replace("range(4)", "range(1100)") + "    if step == 1050: raise ValueError\n")
    page.goto(f"/r/{made['id']}?step=1049")
    expect(page.locator(".count")).to_contain_text("then an error")
    count, transport = page.locator(".count > span").last.bounding_box(), page.locator(".transport").bounding_box()
    assert count
    assert transport
    assert count["x"] + count["width"] <= transport["x"] + transport["width"]
    expect(page.locator(".tape .stopped")).to_contain_text("stopped here")
    outside, crossed = page.evaluate(MET)
    assert not outside
    assert crossed == [] or crossed == [page.locator(".tape .stopped").text_content()], "only the playhead may cross the label"


@pytest.mark.parametrize(("program", "leaf", "step"), [(FIT, "m", 1), (LBFGS, "a", 1)], ids=["by-hand", "lbfgs"])
def test_an_update_has_the_same_text_everywhere(page: Page, program: str, leaf: str, step: int) -> None:
    made = recorded(page, program)
    parameter = page.request.get(f"/api/v1/runs/{made['id']}/steps/{step}").json()["parameters"][0]
    page.set_viewport_size({"width": 1440, "height": 900})
    both = " → ".join(f"{parameter[key]['values']:.4f}".replace("-", "−") for key in ("value", "value_after"))
    page.goto(f"/r/{made['id']}?step={step}&phase=update")
    expect(node(page, leaf).locator("[data-field=value]")).to_have_text(both)
    expect(page.locator(".inspector .facts")).to_contain_text(both)
    expect(page.locator(".chart").first).to_contain_text(both)
    page.get_by_role("button", name="Optimizer").click()
    expect(page.locator(".optimizer tbody tr td").first).to_have_text(both)


def test_a_small_update_has_enough_digits_to_be_visible(page: Page) -> None:
    page.goto(f"/r/{recorded(page, FIT.replace('0.05', '1e-6'))['id']}?phase=update")
    expect(node(page, "m").locator("[data-field=value]")).to_have_text("1.00000 → 1.00001")


@pytest.mark.parametrize("menu", ["#export", "#more"])
def test_the_numbers_of_the_curves_are_a_table(page: Page, menu: str) -> None:
    page.set_viewport_size({"width": 1440 if menu == "#export" else 390, "height": 844})
    open_run(page, FIT)
    page.locator(f"{menu} > summary").click()
    page.locator(menu).get_by_role("button", name="Steps as a table…").click()
    table = page.get_by_role("dialog", name="Steps as a table").get_by_role("table")
    expect(table.get_by_role("columnheader")).to_have_text(["step", "loss", "m", "m.grad", "update of m"])
    expect(table.get_by_role("row")).to_have_count(5)
    expect(table.get_by_role("row").nth(1)).to_have_text(re.compile(r"0\s*4\.6667\s*1\.0000\s*−9\.3333\s*0\.4667"))
    assert not violations(page)
    table.get_by_role("button", name="2", exact=True).click()
    expect(page.locator(".count b")).to_have_text("2")


def test_two_runs_are_compared_at_the_same_instant(page: Page) -> None:
    other = recorded(page, FIT.replace("0.05", "0.02"))["id"]
    page.goto(f"/r/{recorded(page, FIT)['id']}?step=2&phase=loss&compare={other}")
    update, loss = page.locator(".chart").nth(2).locator(".value"), page.locator(".caption .loss")
    expect(loss.locator(".dashed")).to_have_count(1)
    expect(update).to_have_text("·")
    page.locator(".phase.forward").click()
    expect(loss.locator(".dashed")).to_have_count(0)
    page.locator(".phase.update").click()
    expect(update.locator(".dashed")).to_have_text(re.compile(r"\d"))
    difference = page.locator(".first-difference")
    expect(difference).to_have_text("differ from step 0mtolerance 0")
    difference.get_by_role("button", name="differ from step 0").click()
    expect(page).to_have_url(re.compile(r"phase=update"))
    expect(page).not_to_have_url(re.compile(r"step=2"))


def test_back_and_forward_restore_a_comparison_and_no_run_is_compared_with_itself(page: Page) -> None:
    page.goto("/")
    run(page, FIT)
    first = run_another(page, FIT.replace("0.05", "0.02"))
    second = page.url.partition("?")[0]
    page.locator(".compare summary").click()
    page.locator(".compare .sheet button").first.click()
    pair = page.locator(".compare .pair")
    expect(pair).to_contain_text("0.05")
    page.go_back()
    expect(page).to_have_url(f"{first}?node=n0")  # the node of the line in which the text was replaced
    expect(pair).to_be_hidden()
    page.go_back()
    expect(page).to_have_url(re.compile(r"/\?node=n0$"))
    expect(pair).to_be_hidden()
    page.go_forward()
    page.go_forward()
    expect(page).to_have_url(f"{second}?compare={first.rpartition('/')[2]}")
    expect(pair).to_contain_text("0.05")
    page.goto(f"{first}?compare={first.rpartition('/')[2]}")
    expect(page.locator(".tape .curve").first).to_be_attached()
    expect(pair).to_be_hidden()


def test_the_loss_pane_explains_what_changes_and_what_stays_as_recorded(page: Page) -> None:
    page.goto(f"/r/{recorded(page, FIT)['id']}?step=1&tab=loss")
    kept = page.locator(".landscape .kept")
    expect(kept).to_contain_text("Only m changes; batch and random numbers are those of step 1.", timeout=15_000)
    summary = kept.locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    expect(kept.locator(".sheet")).to_contain_text("For each value of m, PyTorch runs the recorded operations of step 1 again.")
    page.keyboard.press("Escape")
    expect(kept.locator(".sheet")).to_be_hidden()
    expect(summary).to_be_focused()


MANY = """\
import torch
net = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(12)])
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    net(torch.ones(2, 4)).sum().backward()
    optimizer.step()
"""


def test_a_long_table_of_parameters_scrolls_beside_the_deck(page: Page) -> None:
    open_run(page, MANY)
    deck = page.locator("#deck").bounding_box()
    page.get_by_role("button", name="Optimizer").click()
    expect(page.locator(".optimizer tbody tr")).to_have_count(24)
    assert page.locator("#deck").bounding_box() == deck


def test_an_expression_is_watched_after_a_line_in_all_steps(page: Page) -> None:
    open_run(page, FIT)
    page.locator(".cm-line", has_text="loss = ").click()
    page.keyboard.press("Alt+w")
    expect(page.get_by_label("Line, or empty")).to_have_value("7")
    expression = page.get_by_label("Python expression")
    expect(expression).to_have_value("loss")
    expression.fill("loss.item()")
    page.keyboard.press("Enter")
    answer = page.locator(".watch .answer")
    answer.get_by_text("As a list").click(timeout=60_000)
    shown = [float(text) for text in answer.locator("td.value").all_inner_texts()]
    assert not violations(page)
    assert shown == pytest.approx([(m - 2) ** 2 * 14 / 3 for m in (1, 22 / 15, 386 / 225, 6238 / 3375)], abs=1e-4)
    expression.fill("loss < 1")
    page.get_by_role("button", name="Find first").click()
    expect(answer).to_contain_text("is true for the first time in step 2", timeout=60_000)
    expect(page).to_have_url(re.compile(r"(?=.*step=2)(?=.*tab=watch)"))


def test_a_parameter_that_settles_is_marked_with_the_number_and_others_are_not(page: Page) -> None:
    longer = FIT.replace("range(4)", "range(20)")
    open_run(page, longer)
    value, gradient, update = (page.locator("#charts .chart").nth(at) for at in range(3))
    expect(value.locator(".settled")).to_have_text("settles at 2.0000")
    assert [each.locator(".settled").count() for each in (gradient, update)] == [0, 0]
    page.get_by_role("button", name="log scale").click()
    expect(value.locator(".settled")).to_be_hidden()
    page.get_by_role("button", name="log scale").click()
    for rate in ("0.001", "0.215"):  # it still moves, or diverges
        open_run(page, longer.replace("0.05", rate))
        expect(page.locator("#charts canvas").first).to_be_visible()
        expect(page.locator("#charts .settled:visible")).to_have_count(0)


THREE = """\
import torch
w = torch.zeros(3, requires_grad=True)
for step in range(30):
    loss = ((w - torch.tensor([1.0, -2.0, 3.0])) ** 2).sum()
    loss.backward()
    with torch.no_grad():
        w -= 0.05 * w.grad
    w.grad = None
"""


def test_no_number_above_a_chart_is_cut(page: Page) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    open_run(page, THREE)
    values = page.locator("#charts .value")
    expect(values).to_have_count(3)
    expect(values.nth(1)).to_have_text("‖7.4833‖")
    page.goto(f"{page.url.partition('?')[0]}?compare={recorded(page, THREE.replace('0.05', '0.02'))['id']}")
    expect(page.locator("#charts .value .dashed")).to_have_count(2)
    for phase in ("backward", "update"):
        page.locator(f".phase.{phase}").click()
        for _ in range(3):
            page.get_by_role("button", name="Next step").click()
            assert values.evaluate_all("all => all.map(each => each.scrollWidth - each.clientWidth)") == [0, 0, 0]
