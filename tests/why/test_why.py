"""A number is explained by the terms that it is made of."""

from __future__ import annotations

from functools import cache

import pytest
from tapedeck.errors import InvalidInput, NotFound
from tapedeck.recording import Recording
from tapedeck.why import why

from ..tracer.run_twice import record
from .walk import ask, real, sums_exactly, walk

LINE = """\
import torch
x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True)
for step in range(2):
    y_pred = m * x
    loss = ((y_pred - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        m -= 0.1 * m.grad
    m.grad = None
"""


@cache
def recorded(program: str) -> Recording:
    return record(program)[1]


def test_the_gradient_of_a_leaf_is_written_in_one_line() -> None:
    answer = why(recorded(LINE), "m.grad", 0)
    assert answer.line == "m.grad = ⅓·[2·(1 − 2)·1 + 2·(2 − 4)·2 + 2·(3 − 6)·3] = −9.3333"
    assert [round(real(term.value), 4) for term in answer.terms] == [-6.0, -2.6667, -0.6667]
    assert [term.reads[0].name for term in answer.terms] == ["x[2]", "x[1]", "x[0]"]
    assert sum(term.share for term in answer.terms) == pytest.approx(1)
    assert sums_exactly(answer)
    assert answer.rule is not None
    assert answer.rule.mathml.startswith("<math")
    assert "<mtext>y_pred</mtext>" in answer.rule.mathml


def test_the_name_of_an_expression_is_escaped_in_mathml() -> None:
    program = "import torch\nw = torch.ones(2, requires_grad=True)\nloss = (w * {'<&': 2.0}['<&']).sum()\nloss.backward()\n"
    rule = why(recorded(program), "w.grad").rule
    assert rule is not None
    assert "&lt;&amp;" in rule.mathml


def test_a_small_change_of_the_leaf_changes_the_loss_as_the_gradient_predicts() -> None:
    nudge = why(recorded(LINE), "m.grad", 0).nudge
    assert nudge is not None
    assert nudge.by == pytest.approx(0.01)
    assert nudge.predicted == pytest.approx(-0.0933, abs=1e-4)
    assert nudge.replay["ranges"] == [[1.0, 1.01]]


def test_each_hop_leads_from_the_leaf_to_the_seed_of_the_pass() -> None:
    answer = why(recorded(LINE), "m.grad", 0)
    kinds = []
    while answer.terms and answer.terms[0].source is not None:
        answer = ask(recorded(LINE), answer.terms[0].source.href)
        kinds.append(answer.name)
    assert kinds == ["∂loss/∂y_pred[2]", "∂loss/∂(y_pred - y)[2]", "∂loss/∂((y_pred - y) ** 2)[2]", "∂loss/∂loss"]
    assert answer.kind == "start"


def test_a_value_is_followed_through_views_to_its_inputs() -> None:
    program = """\
import torch
a = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
b = torch.tensor([5.0, 6.0])
loss = (a.t().contiguous().view(4).unsqueeze(0)[0, 1] * b[0]).relu()
loss.backward()
"""
    answer = why(recorded(program), "loss")
    assert answer.kind == "function"
    product = ask(recorded(program), answer.reads[0].href)
    assert [term.source.name for term in product.terms if term.source] == ["a[1,0]"]
    gradient = why(recorded(program), "a.grad[1,0]")
    assert gradient.value == 5.0
    assert {"ViewBackward0", "TBackward0", "SelectBackward0"} <= set(gradient.path)


@pytest.mark.parametrize(("call", "element"), [("torch.cat([a, b, c])", 3), ("torch.stack([a, b, c], 1)", 4)])
def test_a_joined_tensor_is_followed_to_its_parts(call: str, element: int) -> None:
    program = f"""\
import torch
a, b, c = (torch.tensor(each, requires_grad=True) for each in ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0]))
loss = ({call}.flatten() * torch.arange(6.0)).sum()
loss.backward()
"""
    recording = recorded(program)
    product = next(node for node in recording.graph(0).nodes if node.op == "MulBackward0")
    answer = why(recording, f"{product.id}[{element}]")
    assert [link.name for term in answer.terms for link in ([term.source] if term.source else [])] == ["b[1]"]
    gradient = why(recording, "c.grad[1]")
    assert gradient.value == 5.0
    assert gradient.terms[0].factor == 5.0


@pytest.mark.parametrize(
    "layer", ["Conv2d(2, 3, 2, stride=2, padding=1)", "ConvTranspose2d(2, 3, 2, stride=2)", "Conv1d(3, 2, 2)"]
)
def test_the_gradient_of_a_kernel_is_a_sum_of_products_with_the_elements_under_its_windows(layer: str) -> None:
    program = f"""\
import torch
x = torch.rand(1, 2, 3, 3, requires_grad=True)
layer = torch.nn.{layer}
loss = layer(x if x.ndim == layer.weight.ndim else x[0]).square().mean()
loss.backward()
"""
    recording = record(program, values=4096)[1]
    for of in ("layer.weight.grad", "x.grad"):
        answer = why(recording, of)
        assert answer.kind == "sum"
        assert all(term.factor is not None for term in answer.terms)
        assert any(term.reads for term in answer.terms)
        assert abs(real(answer.rounding)) < 1e-5


@pytest.mark.parametrize("parts", ["x.split(2)", "x.split([1, 3])", "x.chunk(2)", "x.unbind()[1:3]"])
def test_a_part_of_a_split_is_followed_to_the_whole(parts: str) -> None:
    program = f"""\
import torch
x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]], requires_grad=True)
first, second = {parts}
loss = (second * second).sum() + first[0].exp().sum() / 100
loss.backward()
"""
    recording = recorded(program)
    gradient = why(recording, "x.grad")
    assert gradient.value in (16.0, 12.0, 10.0)
    assert sums_exactly(gradient)
    assert not any("first" in term.source.name for term in gradient.terms if term.source)
    square = next(node for node in recording.graph(0).nodes if node.op == "MulBackward0")
    value = why(recording, square.id)
    assert [term.source.name.partition("[")[0] for term in value.terms if term.source] == ["x"]


EXPLAINED = {
    "torch.nn.functional.mse_loss(x, torch.ones(2, 3))": "a mean of squares",
    "torch.nn.functional.smooth_l1_loss(x * 3, torch.ones(2, 3), reduction='none')": "a loss of each element",
    "torch.nn.functional.binary_cross_entropy_with_logits(x, torch.ones(2, 3), reduction='sum')": "a sum of losses",
    "torch.stack([x, torch.ones(2, 3), 2 * x]).square()": "a constant among tensors that are stacked",
    "torch.cat([torch.ones(2, 2), x], 1).square()": "a constant in front of a tensor",
    "torch.nn.BatchNorm1d(3).eval()(x) * x": "running statistics",
    "x.topk(2, 1).values * 3": "the largest elements",
    "x.sort(0, descending=True)[0].cumsum(0)": "sorted elements",
    "x.max(1)[0] * x.min(1).values": "the largest and the smallest",
    "torch.var_mean(x, 1)[0] + torch.std_mean(x, 1)[1]": "two results",
    "x[torch.tensor([1, 0, 1])] * x[x > 0].sum()": "an index and a mask",
    "torch.nn.functional.pad(x, (1, 2)).tanh()": "a padding",
    "torch.nn.functional.glu(torch.cat([x, x[:, :1]], 1))": "a gate",
    "torch.autograd.grad((x.tanh() ** 2).sum(), x, create_graph=True)[0]": "a gradient of a gradient",
    "torch.autograd.grad(x.sigmoid().log_softmax(1)[0, 1], x, create_graph=True)[0].square()": "another one",
    "torch.autograd.grad(torch.nn.functional.softplus(x).softmax(1)[0, 1], x, create_graph=True)[0] ** 3": "a third one",
    "torch.nn.functional.scaled_dot_product_attention(*(x[None, None],) * 3, is_causal=True)": "attention",
    "torch.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None])": "attention in plain operations",
}
"""Calls of a tensor, each with what it is an example of."""


@pytest.mark.parametrize("call", EXPLAINED, ids=EXPLAINED.values())
def test_every_hop_from_the_gradient_is_a_sum_of_products(call: str) -> None:
    made = "torch.manual_seed(3)\nx = torch.randn(2, 3, requires_grad=True)"
    program = f"import torch\n{made}\nloss = ({call}).sum()\nloss.backward()\n"
    recording = record(program, values=1024)[1]
    for answer in walk(recording, "why?of=x.grad"):
        assert sums_exactly(answer)
        assert "do not show" not in answer.sentence, (answer.name, answer.sentence)


def test_a_loss_is_worked_out_with_the_elements_of_prediction_and_target() -> None:
    program = """\
import torch
x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 7.0])
w = torch.tensor(2.0, requires_grad=True)
loss = torch.nn.functional.mse_loss(w * x, y)
loss.backward()
"""
    assert why(recorded(program), "w.grad").line == "w.grad = 2·(2 − 3)/2·1 + 2·(4 − 7)/2·2 = −7"


MOMENTUM = """\
import torch
torch.manual_seed(1)
w = torch.randn(3, requires_grad=True)
x, y = torch.randn(4, 3), torch.randn(4)
optimizer = torch.optim.{optimizer}
for step in range(6):
    optimizer.zero_grad()
    loss = ((x @ w - y) ** 2).mean()
    loss.backward()
    optimizer.step()
"""


@pytest.mark.parametrize(
    "optimizer",
    [
        "SGD([w], 0.1, momentum=0.9)",
        "SGD([w], 0.1, momentum=0.5, weight_decay=0.1)",
        "SGD([w], 0.01, momentum=0.5, weight_decay=0.1, maximize=True)",
        "AdamW([w], 0.1)",
        "Adam([w])",
        "Adam([w], maximize=True)",
    ],
)
def test_an_update_is_opened_into_the_gradients_of_the_steps(optimizer: str) -> None:
    recording = recorded(MOMENTUM.format(optimizer=optimizer))
    after = why(recording, "w.after[1]", 5)
    assert [term.source.of for term in after.terms if term.source] in (["p0[1]", "p0.update[1]"], ["p0.update[1]", "p0[1]"])
    update = why(recording, "w.update[1]", 5)
    gradients = [term.source for term in update.terms if term.source and "grad_used" in term.source.of]
    assert {ask(recording, link.href).step for link in gradients} == set(range(6))
    assert sums_exactly(update)
    assert abs(real(update.rounding)) < 1e-5 * (1 + abs(real(update.value)))


@pytest.mark.parametrize(
    "optimizer",
    [
        "SGD([w], 0.1, momentum=0.9, nesterov=True, weight_decay=0.1)",
        "SGD([w], 0.01, momentum=0.9, nesterov=True, maximize=True)",
        "RMSprop([w], weight_decay=0.1)",
        "RMSprop([w], centered=True, maximize=True)",
        "RMSprop([w], momentum=0.5, centered=True)",
        "Adagrad([w])",
        "Adadelta([w], weight_decay=0.1)",
    ],
)
def test_an_update_of_other_optimizers_is_a_sum_too(optimizer: str) -> None:
    recording = recorded(MOMENTUM.format(optimizer=optimizer))
    update = why(recording, "w.update[1]", 5)
    assert update.kind == "sum"
    assert any("grad_used" in term.source.of for term in update.terms if term.source)
    assert sums_exactly(update)
    assert abs(real(update.rounding)) < 1e-5 * (1 + abs(real(update.value)))


def test_an_update_with_momentum_leads_to_the_earlier_state() -> None:
    recording = recorded(MOMENTUM.format(optimizer="RMSprop([w], momentum=0.5)"))
    update, before = why(recording, "w.update[1]", 5), why(recording, "w.update[1]", 4)
    carried = next(term for term in update.terms if term.source and "momentum_buffer" in term.source.of)
    assert real(carried.value) == pytest.approx(0.5 * real(before.value), rel=1e-4)
    assert update.rule is not None
    assert r"b \leftarrow 0.5 \cdot b" in update.rule.latex


def test_rprop_moves_by_the_step_size_that_it_keeps() -> None:
    update = why(recorded(MOMENTUM.format(optimizer="Rprop([w], 0.01)")), "w.update[1]", 5)
    assert update.kind == "sum"
    assert [term.source.of for term in update.terms if term.source] == ["p0.state.step_size[1]"]
    assert sums_exactly(update)
    assert abs(real(update.rounding)) < 1e-5 * (1 + abs(real(update.value)))


@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [
        ("SGD([w], 0.1)", r"-0.1 \cdot w.\mathrm{grad}"),
        ("SGD([w], 0.1, maximize=True)", r"0.1 \cdot w.\mathrm{grad}"),
        ("SGD([w], 0.5, weight_decay=0.5)", r"-0.5 \cdot w.\mathrm{grad} - 0.25 \cdot w"),
    ],
)
def test_the_rule_of_an_update_has_its_sign_and_the_weight_decay(optimizer: str, rule: str) -> None:
    answer = why(recorded(MOMENTUM.format(optimizer=optimizer)), "w.update[1]", 5)
    assert answer.rule is not None
    assert answer.rule.latex.endswith(f"= {rule}")
    assert sums_exactly(answer)


def test_an_optimizer_state_is_explained_by_itself_and_the_gradient() -> None:
    recording = recorded(MOMENTUM.format(optimizer="Adam([w])"))
    squares = why(recording, "w.state.exp_avg_sq[0]", 3)
    assert [term.source.of for term in squares.terms if term.source] == ["p0.state.exp_avg_sq[0]", "p0.grad_used[0]"]
    average = why(recording, "w.state.exp_avg[0]", 3)
    assert len(average.terms) == 4
    assert sums_exactly(average)


def test_a_state_that_the_gradient_did_not_change_is_not_explained_by_it() -> None:
    program = """\
import torch
rows = torch.nn.Embedding(3, 1, sparse=True)
optimizer = torch.optim.SparseAdam(list(rows.parameters()))
for row in (0, 1):
    optimizer.zero_grad()
    loss = rows(torch.tensor([row])).square().sum()
    loss.backward()
    optimizer.step()
"""
    answer = why(recorded(program), "rows.weight.state.exp_avg_sq[0,0]", 1)
    assert answer.kind == "function"
    assert [link.of for link in answer.reads][-1] == "p0.state.exp_avg_sq[0,0]"


def test_a_gradient_that_was_not_cleared_is_the_sum_of_two_steps() -> None:
    program = LINE.replace("    m.grad = None\n", "")
    answer = why(recorded(program), "m.grad", 1)
    assert {term.source.of for term in answer.terms if term.source} == {"p0.grad_before", "n4.grad"}
    before = why(recorded(program), "m.grad_before", 1)
    assert [term.source.of for term in before.terms if term.source] == ["p0.grad"]


def test_a_clipped_gradient_names_its_factor() -> None:
    program = MOMENTUM.format(optimizer="SGD([w], 0.1)").replace(
        "    optimizer.step()", "    torch.nn.utils.clip_grad_norm_([w], 0.01)\n    optimizer.step()"
    )
    answer = why(recorded(program), "w.grad_used[0]", 0)
    assert "scaled by" in answer.sentence
    assert [term.source.of for term in answer.terms if term.source] == ["p0.grad[0]"]


def test_an_operation_without_a_rule_quotes_the_definition_of_pytorch() -> None:
    program = """\
import torch
x = torch.rand(1, 1, 4, 4, requires_grad=True)
loss = torch.nn.functional.pixel_unshuffle(x, 2).sum()
loss.backward()
"""
    answer = why(recorded(program), "x.grad")
    assert any("pixel_unshuffle" in text for text in answer.published)
    assert answer.replay == {"what": "factors", "step": 0, "pass": 0, "node": "n1"}


def test_an_operation_whose_result_was_not_recorded_refers_to_a_replay() -> None:
    program = """\
import torch
A = torch.tensor([[2.0, 1.0], [0.0, 4.0]], requires_grad=True)
loss = torch.linalg.matrix_power(A, -2).sum()
loss.backward()
"""
    answer = why(recorded(program), "A.grad")
    assert answer.replay == {"what": "factors", "step": 0, "pass": 0, "node": "n2"}
    assert sums_exactly(answer)


ABSENT = {
    "c.grad": (
        "w, c = (torch.ones(2, requires_grad=True) for _ in (0, 1))\n\nu = (c * 3).detach()\n(w * u).sum().backward()",
        "cuts the graph",
        4,
    ),
    "y.grad": ("x = torch.ones(2, requires_grad=True)\ny = x * 2\ny.sum().backward()", "computed result", 3),
    "x.grad": ("x = torch.ones(2)\nw = torch.ones(2, requires_grad=True)\n(x * w).sum().backward()", "does not require", 2),
    "v.grad": (
        "w = torch.ones(2, requires_grad=True)\nv = torch.ones(2, requires_grad=True)\nw.sum().backward()",
        "No pass reached `v`",
        3,
    ),
    "u.grad": (
        "u = torch.ones(2, requires_grad=True)\nb = torch.nn.Parameter(u * 2)\nfor i in (0, 1): u.detach().dot(b).backward()",
        "cuts the graph",
        4,
    ),
}
"""Programs without their first line by what is asked, with a part of the answer and its line."""


@pytest.mark.parametrize("of", ABSENT)
def test_a_gradient_that_is_none_has_a_reason_and_a_line(of: str) -> None:
    program, said, line = ABSENT[of]
    answer = why(recorded(f"import torch\n{program}\n"), of)
    assert answer.kind == "absent"
    assert said in answer.sentence
    assert answer.program_line == line


def test_a_program_that_never_calls_backward_is_told_so() -> None:
    program = "import torch\nw = torch.ones(2, requires_grad=True)\nwith torch.no_grad():\n    print(w.sum())\n"
    assert "never calls `backward()`" in why(recorded(program), "w.grad").sentence


def test_a_gradient_that_was_cleared_names_the_line() -> None:
    program = LINE.replace(
        "        m -= 0.1 * m.grad\n    m.grad = None\n", "        m -= 0.1 * m.grad\n        m.grad = None\n"
    )
    recording = recorded(program)
    assert why(recording, "m.grad_before", 1).kind == "absent"


def test_a_name_that_was_bound_to_a_result_is_no_leaf() -> None:
    program = LINE.replace(
        "    with torch.no_grad():\n        m -= 0.1 * m.grad\n    m.grad = None\n", "    m = m - 0.1 * m.grad\n"
    )
    answer = why(recorded(program), "m.is_leaf")
    assert "new tensor" in answer.sentence
    assert answer.program_line == 9


@pytest.mark.parametrize("of", ["nobody", "nobody.grad", "m[3]", "n2.grad[7]", ""])
def test_an_address_of_nothing_is_refused_with_a_reason(of: str) -> None:
    with pytest.raises(InvalidInput):
        why(recorded(LINE), of)


@pytest.mark.parametrize("of", ["n99", "e99"])
def test_a_node_that_does_not_exist_is_not_found(of: str) -> None:
    with pytest.raises(NotFound):
        why(recorded(LINE), of)


def test_numbers_that_are_not_finite_are_explained_too() -> None:
    program = "import torch\nw = torch.tensor([0.0, 1.0], requires_grad=True)\nloss = w.log().sum()\nloss.backward()\n"
    answer = why(recorded(program), "w.grad")
    assert answer.value == "Infinity"
    assert answer.terms[0].factor == "Infinity"


NETWORK = """\
import torch
from torch import nn
x, y = torch.ones(4, 3), torch.zeros(4, 1)
net = nn.Linear(3, 1)
opt = torch.optim.SGD(net.parameters(), 0.1)
"""
STEP = "    loss = ((net(x) - y) ** 2).mean()\n    loss.backward()\n    opt.step()\n"
LEAF = "import torch\nm = torch.tensor(1.0, requires_grad=True)\n"

OURS = "so the program's own `net.weight.grad` is `None`. Tapedeck ran this pass itself."
EARLIER = "Its `.grad` is `None`: this is the gradient of the leaf that had the name before."
NONE_ELSEWHERE = {
    "cleared on the last line": (
        f"{NETWORK}for step in range(2):\n{STEP}    opt.zero_grad(set_to_none=True)\n",
        "net.weight", "Line 10 clears it afterwards: then `net.weight.grad` is `None`.",
    ),
    "cleared through a variable": (
        f"{NETWORK}for step in range(2):\n{STEP}    for p in net.parameters():\n        p.grad = None\n",
        "net.weight", "Line 11 clears it afterwards: then `net.weight.grad` is `None`.",
    ),
    "a backward under a condition": (
        f"{NETWORK}debug = False\nloss = ((net(x) - y) ** 2).mean()\nif debug:\n    loss.backward()\n",
        "net.weight",
        f"`backward()` on line 9 did not run: it is under `if debug`, {OURS}",
    ),
    "a backward in a function that is not called": (
        f"{NETWORK}def train():\n    loss.backward()\nloss = ((net(x) - y) ** 2).mean()\n",
        "net.weight",
        f"`backward()` is in `train`, which the program never calls, {OURS}",
    ),
    "no backward": (
        f"{NETWORK}loss = ((net(x) - y) ** 2).mean()\n",
        "net.weight",
        f"The program never calls `backward()`, {OURS}",
    ),
    "read before": (
        f"{NETWORK}loss = ((net(x) - y) ** 2).mean()\nprint(net.weight.grad)\nloss.backward()\n",
        "net.weight", "Line 7 reads `net.weight.grad` before line 8 fills it: there it is `None`.",
    ),
    "converted": (
        f"{LEAF}m = m.double()\nloss = (m * 2) ** 2\nloss.backward()\n",
        "m",
        f"Line 3 binds `m` to a new tensor, which `ToCopyBackward0` computed. {EARLIER}",
    ),
    "bound to a result": (
        f"{LEAF}loss = (m * 2) ** 2\nloss.backward()\nm = m - 0.1 * m.grad\n",
        "m",
        f"Line 5 binds `m` to a new tensor, which `SubBackward0` computed. {EARLIER}",
    ),
    "bound without gradients": (
        f"{LEAF}loss = (m * 2) ** 2\nloss.backward()\nwith torch.no_grad():\n    m = m - 0.1 * m.grad\n",
        "m",
        f"Line 6 binds `m` to a new tensor, which was computed without gradients. {EARLIER}",
    ),
    "kept": (f"{NETWORK}for step in range(2):\n    opt.zero_grad()\n{STEP}", "net.weight", None),
    "set to zero": (
        f"{NETWORK}for step in range(2):\n{STEP}    opt.zero_grad(set_to_none=False)\n", "net.weight", None,
    ),
    "read after": (f"{LEAF}loss = (m * 2) ** 2\nloss.backward()\nprint(m.grad)\n", "m", None),
    "another tensor cleared": (
        f"{LEAF}b = torch.tensor(1.0, requires_grad=True)\nloss = (m * b) ** 2\nloss.backward()\nb.grad = None\n", "m", None,
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("case", NONE_ELSEWHERE)
def test_a_gradient_says_where_the_program_s_own_grad_is_none(case: str) -> None:
    program, name, note = NONE_ELSEWHERE[case]
    answer = why(recorded(program), f"{name}.grad")
    assert answer.kind in ("sum", "function"), answer
    assert answer.note == note
    names: dict[str, object] = {"print": lambda *values: names.setdefault("printed", values[0])}
    exec(program, names)
    own = eval(f"{name}.grad" if "read" not in case else "printed", names)
    assert (own is None) == (note is not None)


def test_a_converted_tensor_is_no_leaf_and_the_answer_says_how_to_make_it_one() -> None:
    answer = why(recorded(f"{LEAF}m = m.double()\n(m * 2).backward()\n"), "m.is_leaf")
    assert (answer.program_line, answer.sentence) == (
        3, "Line 3 binds `m` to a new tensor, which `ToCopyBackward0` computed from the leaf."
    )  # fmt: skip
    program = "import torch\nm = torch.ones(2, requires_grad=True).to(torch.float64)\n(m * 2).sum().backward()\n"
    assert why(recorded(program), "m.grad").sentence.endswith("that makes the converted tensor the leaf.")


def test_a_parameter_of_a_module_that_no_pass_reached_names_the_cut() -> None:
    program = """\
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 3), nn.Linear(3, 1)
    def forward(self, x):
        return self.b(torch.tanh(self.a(x)).detach())
net = Net()
net(torch.ones(4, 2)).sum().backward()
"""
    answer = why(recorded(program), "net.a.weight.grad")
    assert (answer.kind, answer.program_line) == ("absent", 8)
    assert "cuts the graph" in answer.sentence
    assert why(recorded(program), "net.a.weight.is_leaf").sentence == "No pass reached `net.a.weight`, so it was not recorded."
    with pytest.raises(InvalidInput):
        why(recorded(program), "net.c.weight.grad")


@pytest.mark.parametrize(
    "call", ["(h * 1).chunk(2)", "(h * 1).split([1, 3])", "(h * 1).view(2, 2).unbind()", "torch.tensor_split(h * 1, 2)"]
)
def test_each_part_of_a_tensor_has_the_name_of_its_own_variable(call: str) -> None:
    program = f"import torch\nh = torch.tensor([1., 2., 3., 4.], requires_grad=True)\na, b = {call}\n"
    recording = recorded(f"{program}loss = (a * 2).sum() + (b * 5).sum()\nloss.backward()\n")
    graph = recording.graph(0)
    uses = [node for node in graph.nodes if node.op == "MulBackward0" and node.line == 4]
    rules = [why(recording, f"{node.id}[0]").rule for node in uses]
    assert {rule.latex.partition("=")[2].strip() for rule in rules if rule is not None} == {r"a \cdot 2", r"b \cdot 5"}
    assert (why(recording, "b[0]").value, why(recording, "a[0]").value) == ((2.0 if "split([1" in call else 3.0), 1.0)
