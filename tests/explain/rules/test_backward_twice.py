"""The finding about a second pass recommends the remedy that fits: another root, an update in place, or a cut."""

from __future__ import annotations

import pytest

from ...tracer.run_twice import unrecorded
from ..reported import findings, line_of

START = """import torch
x, y = torch.arange(4.0), torch.arange(4.0) * 2
w = torch.ones(1, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.01)
losses = []
"""
LOOP = """
for step in range(3):
    optimizer.zero_grad()
    loss = ((w * x - y) ** 2).mean()
    losses.append(loss.item())
    {add}
    {total}.backward()
    optimizer.step()
"""
ADDS = {
    "in place": "total += loss",
    "to a new tensor": "total = total + loss",
    "from the left": "total = loss + total",
}


@pytest.mark.parametrize("add", ADDS.values(), ids=ADDS)
def test_the_loss_of_the_iteration_is_named_instead_of_a_cut(add: str) -> None:
    text = f"{START}total = 0.0\n{LOOP.format(add=add, total='total')}"
    (found,) = [finding for finding in findings(text) if finding.code == "backward-twice"]
    assert "`loss.backward()`" in found.why
    assert "`total += loss.item()`" in found.why
    assert "detach" not in found.why
    assert found.fix is None
    twin = f"{START}total = 0.0\n{LOOP.format(add='total += loss.item()', total='loss')}"
    outcome = unrecorded(twin)
    assert outcome.error is None
    assert not [finding for finding in findings(twin) if finding.severity in ("error", "warning")]
    assert outcome.variables["total"] == sum(outcome.variables["losses"])


LEAVES = """import torch
a, b = torch.tensor(2.0, requires_grad=True), torch.tensor(0.5, requires_grad=True)
MADE
del a, b
optimizer = torch.optim.SGD([LEFT, RIGHT], lr=0.1)
for step in range(3):
    loss = (LEFT * RIGHT - 3) ** 2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    UPDATE
"""
REPLACED = {
    "an item of a dict": (
        'params = {"a": a, "b": b}',
        'params["a"]',
        'params["b"]',
        'params["b"] = params["b"].clamp(0, 1)',
        'params["b"]',
    ),
    "every item of a dict": (
        'params = {"a": a, "b": b}',
        'params["a"]',
        'params["b"]',
        "for key in params: params[key] = torch.clamp(params[key], 0, 1)",
        "params[key]",
    ),
    "an item of a list": (
        "values = [a, b]",
        "values[0]",
        "values[1]",
        "values[1] = values[1] / (1 + values[1].abs())",
        "values[1]",
    ),
    "an attribute": ("m = torch.nn.Module(); m.a, m.b = a, b", "m.a", "m.b", "m.b = m.b.clamp(0, 1)", "m.b"),
}


@pytest.mark.parametrize(("made", "left", "right", "update", "leaf"), REPLACED.values(), ids=REPLACED)
def test_a_leaf_that_is_replaced_by_a_computed_tensor_is_changed_in_place_instead(
    made: str, left: str, right: str, update: str, leaf: str
) -> None:
    text = LEAVES.replace("MADE", made).replace("LEFT", left).replace("RIGHT", right).replace("UPDATE", update)
    (found,) = [finding for finding in findings(text) if finding.code == "backward-twice"]
    assert found.line == len(text.splitlines())
    assert f"`{leaf}`" in found.message
    assert "detach" not in found.why
    value = update.partition(" = ")[2]
    in_place = f"{leaf}.copy_({value})"
    assert f"`{in_place}`" in found.why
    written = f"with torch.no_grad():\n        {update.replace(f'{leaf} = {value}', in_place)}"
    corrected = text.replace(update, written)
    assert unrecorded(corrected).error is None
    assert not [finding for finding in findings(corrected) if finding.severity in ("error", "warning")]


OTHERS = {
    "a state that begins as a leaf": (
        "cell = torch.nn.RNNCell(4, 4)\nh = torch.zeros(1, 4, requires_grad=True)\nfor step in range(3):\n"
        "    h = cell(x[None], h)\n    h.sum().backward()\n"
    ),
    "a state in a dict, computed after the pass": (
        "lin = torch.nn.Linear(4, 4)\nstate = {'h': torch.zeros(4, requires_grad=True)}\nfor step in range(3):\n"
        "    lin(state['h']).sum().backward()\n    state['h'] = lin(state['h']).tanh()\n"
    ),
    "a total that begins as a leaf": (
        "total = w\nfor step in range(3):\n    loss = (w * x).sum()\n    total = loss * total\n    total.sum().backward()\n"
    ),
    "a state": "h = torch.zeros(4)\nfor step in range(3):\n    h = torch.tanh(w * h + x)\n    h.sum().backward()\n",
    "a state, with a total of each iteration": (
        "h = torch.zeros(4)\nfor step in range(3):\n    total = 0.0\n    for t in range(2):\n"
        "        h = torch.tanh(w * h + x)\n"
        "        loss = h.sum()\n        total += loss\n    total.backward()\n"
    ),
    "a product": (
        "total = w\nfor step in range(3):\n    loss = (w * x).sum()\n    total = total * loss\n    total.sum().backward()\n"
    ),
}


@pytest.mark.parametrize("program", OTHERS.values(), ids=OTHERS)
def test_detach_is_still_recommended_for_other_values_that_are_carried_over(program: str) -> None:
    (found,) = [finding for finding in findings(START + program) if finding.code == "backward-twice"]
    assert "detach" in found.why


AVERAGES = {
    "an item": ("a = [torch.ones(())]", "a[0] = 0.9 * a[0] + 0.1 * loss", "loss / a[0]", "a[0].detach()"),
    "a name": ("a = torch.ones(())", "a = 0.9 * a + 0.1 * loss", "loss / a", "a.detach()"),
    "an attribute": (
        "class Scale: mean = torch.ones(())",
        "Scale.mean = 0.1 * loss + 0.9 * Scale.mean",
        "loss * Scale.mean",
        "Scale.mean.detach()",
    ),
}


@pytest.mark.parametrize(("begin", "average", "root", "remedy"), AVERAGES.values(), ids=AVERAGES.keys())
def test_a_running_average_of_the_loss_is_reported_at_its_line(begin: str, average: str, root: str, remedy: str) -> None:
    text = START + begin + LOOP.format(add=average, total=f"total = {root}\n    total")
    (found,) = [finding for finding in findings(text) if finding.code == "backward-twice"]
    assert found.line == line_of(text, f"    {average}")
    assert f"`{remedy}`" in found.why
    target = average.partition(" = ")[0]
    corrected = text.replace(average, f"{target} = {average.partition(' = ')[2].replace(target, remedy)}")
    assert unrecorded(corrected).error is None
    assert not [finding for finding in findings(corrected) if finding.severity in ("error", "warning")]


NO_AVERAGES = {
    "an average in another loop": "a = torch.ones(())\nfor i in range(3): a = 0.9 * a + 0.1 * w\n"
    "h = torch.zeros(4)\nfor step in range(3):\n    h = torch.tanh(w * h + x)\n    (h.sum() + a.item()).backward()\n",
    "an average that is not in the loss": "a, h = 0.0, torch.zeros(4)\nfor step in range(3):\n    h = torch.tanh(w * h + x)\n"
    "    h.sum().backward()\n    a = 0.9 * a + 0.1 * h.sum().item()\n",
    "a state": "h = torch.zeros(4)\nfor step in range(3):\n    h = torch.tanh(w * h + x)\n    h.sum().backward()\n",
}


@pytest.mark.parametrize("program", NO_AVERAGES.values(), ids=NO_AVERAGES)
def test_another_value_that_is_carried_over_is_reported_at_the_pass(program: str) -> None:
    text = START + program
    (found,) = [finding for finding in findings(text) if finding.code == "backward-twice"]
    assert ".backward()" in text.splitlines()[(found.line or 0) - 1]
