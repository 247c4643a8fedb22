"""The first harmful NaN or ∞ is reported at its origin, and harmless ones are not reported."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tapedeck import model
from tapedeck.explain.findings import find
from tapedeck.explain.recorded.nonfinite import _Trace
from tapedeck.recording.tensors import finite
from tapedeck.tracer.tensors.packing import pack
from tapedeck.tracer.tensors.table import TableBuilder

from ...tracer.failing_programs import marked
from ...tracer.run_twice import record
from .. import reported

pytestmark = pytest.mark.filterwarnings("ignore")

ORIGINS = {
    "the where trap": (
        "error",
        "SqrtBackward0",
        "NaN",
        """
x = torch.tensor([0., 1., 4.], requires_grad=True)
y = torch.where(x > 0, torch.sqrt(x), torch.zeros(3))  # origin
y.sum().backward()
""",
    ),
    "a logarithm of 0": (
        "error",
        "LogBackward0",
        "∞",
        """
p = torch.tensor([0.5, 0.0], requires_grad=True)
t = torch.tensor([1., 0.])
logs = torch.log(p)  # origin
loss = -(t * logs).mean()
loss.backward()
""",
    ),
    "a loss that runs away": (
        "error",
        "PowBackward0",
        "∞",
        """
w = torch.tensor(1.0, requires_grad=True)
x = torch.tensor([1., 2., 3.])
for step in range(40):
    loss = ((w * x - 2 * x) ** 2).mean()  # origin
    loss.backward()
    with torch.no_grad():
        w -= 5.0 * w.grad
        w.grad = None
""",
    ),
    "NaN in the data": (
        "error",
        "Constant",
        "NaN",
        """
w = torch.tensor(1.0, requires_grad=True)
x = torch.tensor([1., float('nan'), 3.])  # origin
loss = ((w * x - torch.ones(3)) ** 2).mean()
loss.backward()
""",
    ),
    "a mask over a whole row": (
        "error",
        "SoftmaxBackward0",
        "NaN",
        """
q = torch.randn(4, 8, requires_grad=True)
scores = (q @ q.T).masked_fill(torch.ones(4, 4, dtype=torch.bool), float('-inf'))
a = scores.softmax(-1)  # origin
(a @ q).sum().backward()
""",
    ),
    "a hook": (
        "error",
        "MulBackward0",
        "∞",
        """
q = torch.ones(4, requires_grad=True)
y = q * 2  # origin
y.register_hook(lambda g: g / 0)
y.sum().backward()
""",
    ),
    "a gradient that was handed over": (
        "error",
        "MulBackward0",
        "∞",
        """
q = torch.ones(2, requires_grad=True)
y = q * 2  # origin
y.backward(torch.tensor([1., float('inf')]))
""",
    ),
    "a sum of gradients": (
        "error",
        "AccumulateGrad",
        "∞",
        """
q = torch.ones(1, requires_grad=True)  # origin
((q * 2e38 - 2e38) + (q * 2e38 - 2e38)).sum().backward()
""",
    ),
    "an update": (
        "error",
        None,
        "∞",
        """
q = torch.ones(2, requires_grad=True)
opt = torch.optim.SGD([q], lr=float('inf'))
for i in range(3):
    loss = (q * q).sum()
    opt.zero_grad()
    loss.backward()
    opt.step()  # origin
""",
    ),
    "inside a checkpoint": (
        "error",
        "SqrtBackward0",
        "NaN",
        """
from torch.utils.checkpoint import checkpoint
def block(a):
    return torch.where(a > 0, a.sqrt(), a * 0)  # origin
x = torch.tensor([0., 4.], requires_grad=True)
checkpoint(block, x, use_reentrant=True).sum().backward()
""",
    ),
    "in torch.autograd.grad": (
        "error",
        "SqrtBackward0",
        "NaN",
        """
x = torch.tensor([0., 4.], requires_grad=True)
y = (x.sqrt() * torch.tensor([0., 1.])).sum()  # origin
g, = torch.autograd.grad(y, x)
""",
    ),
    "a step that the program skips": (
        "note",
        "SqrtBackward0",
        "∞",
        """
w = torch.tensor([1., 1.], requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1)
for i in range(4):
    x = torch.tensor([0., 1.]) if i == 2 else torch.ones(2)
    loss = (w + 0).mul(x).add(0 * x).sum() if i != 2 else (w - w.detach() + x).sqrt().sum()  # origin
    opt.zero_grad()
    loss.backward()
    if torch.isfinite(w.grad).all():
        opt.step()
""",
    ),
    "a step that GradScaler skips": (
        "note",
        "MulBackward0",
        "∞",
        """
w = torch.tensor([1., 1.], requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1)
scaler = torch.amp.GradScaler('cpu', init_scale=2.**127)
for i in range(4):
    loss = ((w * 3) ** 2).sum()
    opt.zero_grad()
    scaler.scale(loss).backward()  # origin
    scaler.step(opt)
    scaler.update()
""",
    ),
}


LEFT_OUT = {
    "a row of a softmax": ("SoftmaxBackward0", "NaN", "If every score of a row is −∞", """
q = torch.tensor([[0.0, 1.0], [2.0, 3.0]], requires_grad=True)
mask = torch.tensor([[False, False], [True, True]])
p = q.masked_fill(mask, float("-inf")).softmax(dim=1)  # origin
v = torch.tensor([[1.0], [2.0]], requires_grad=True)
(p @ v)[0].sum().backward()
"""),
    "an element of an exponential": ("ExpBackward0", "∞", "`x` ranges from −1 to 120", """
x = torch.tensor([-1.0, 2.0, 120.0], requires_grad=True)
torch.where(x > 0, x + 1, torch.exp(x)).sum().backward()  # origin
"""),
    "a division that is overwritten": ("DivBackward0", "∞", "The divisor `n` is 0 in 1 of 3 elements (numerator 1).", """
x = torch.ones(3, requires_grad=True)
n = torch.tensor([0.0, 1.0, 2.0])
rate = x / n  # origin
rate[n == 0] = 0
rate.sum().backward()
"""),
    "a logarithm in a selected branch": ("LogBackward0", "−∞", "`x` is 0 in 1 of 2 elements.", """
x = torch.tensor([0.0, 1.0], requires_grad=True)
y = x.log()  # origin
torch.where(x > 0, x * y, torch.zeros(2)).sum().backward()
"""),
    "a row of a normalization": ("DivBackward0", "NaN", "The divisor `n` is 0 in 1 of 2 elements (numerator 0 to 4).", """
x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
n = x.abs().sum(1, keepdim=True)
y = x / n  # origin
y[1].sum().backward()
"""),
    "the first of two": ("LogBackward0", "−∞", "`x` is 0.", """
x = torch.zeros(2, requires_grad=True)
w = torch.ones(2, requires_grad=True)
y = x.log()  # origin
z = (w - 1) / (w - 1)
((y * 0)[:0].sum() + (z * y)[:0].sum() + w.sum() + (y * w * z)[:1].sum()).backward()
"""),
}  # fmt: skip


@pytest.mark.parametrize("capture", ["full", "norms"])
@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_value_that_later_lines_leave_out_is_the_origin(name: str, capture: str) -> None:
    op, what, operand, body = LEFT_OUT[name]
    program = f"import torch\n{body}"
    _, recording = record(program, capture=capture)
    (finding,) = [each for each in find(recording, model.Program(program)) if each.code == "nan-origin"]
    assert (finding.severity, finding.line) == ("error", marked(program, "origin"))
    assert finding.message.endswith(f"is where {what} first appears.")
    assert operand in finding.why
    assert finding.node is not None
    assert recording.graph(0).nodes[int(finding.node[1:])].op == op


def test_a_mask_is_not_called_the_origin_of_a_gradient_that_it_spoils() -> None:
    program = """\
import torch
x = torch.tensor([0.5, 2.0], requires_grad=True)
m = torch.tensor([0.0, float("-inf")])
torch.where(m == 0, x * m, torch.zeros(2)).sum().backward()
"""
    (finding,) = findings(program)
    assert finding.message.startswith("The gradient becomes NaN at `x * m`")
    assert "`m` contains −∞" in finding.why


def test_the_search_takes_time_in_proportion_to_the_nodes() -> None:
    program = """\
import torch
x = torch.zeros(2, requires_grad=True)
y = x.log()
for i in range({}):
    y = y + y * 2
y.sum().backward()
"""

    def visits(count: int) -> int:
        _, recording = record(program.format(count))
        trace = _Trace(recording.numbers(0))
        seen = []
        known = trace.value
        trace.value = lambda node: (seen.append(node), known(node))[1]  # type: ignore[method-assign,func-returns-value]
        assert trace.forward([0], excuse=False)[1] == "value"
        return len(seen)

    assert visits(200) < 2.5 * visits(100)


def findings(text: str, **options: Any) -> list[model.Finding]:
    _, recording = record(text, **options)
    return find(recording, model.Program(text))


@pytest.mark.parametrize("capture", ["full", "norms"])
@pytest.mark.parametrize("name", ORIGINS)
def test_the_origin_of_a_nan_is_reported_with_its_line_and_node(name: str, capture: str) -> None:
    severity, op, what, body = ORIGINS[name]
    program = f"import torch\n{body}"
    _, recording = record(program, capture=capture)
    (finding,) = [each for each in find(recording, model.Program(program)) if each.code == "nan-origin"]
    assert (finding.code, finding.severity, finding.line) == ("nan-origin", severity, marked(program, "origin"))
    assert what in finding.message
    assert finding.why
    if op is None:
        assert finding.node is None
        return
    assert finding.pass_ is not None
    assert finding.node is not None
    graph = recording.graph(recording.log.pass_(finding.pass_).graph)
    assert graph.nodes[int(finding.node[1:])].op == op


def test_an_infinity_in_the_code_is_named_as_the_cause() -> None:
    program = 'import torch\nw = torch.ones(2, requires_grad=True)\n(w * float("inf")).sum().backward()\n'
    (finding,) = find(record(program)[1], model.Program(program))
    assert "where ∞ first appears" in finding.message
    assert finding.why.startswith("The code itself contains ∞ or NaN.")


def test_a_nan_of_kl_div_names_its_targets() -> None:
    text = (
        "import torch\nimport torch.nn.functional as F\nx = torch.randn(4, 3, requires_grad=True)\ny = torch.randn(4, 3)\n"
        "F.kl_div(x.log_softmax(1), y.log_softmax(1), reduction='batchmean').backward()\n"
    )
    (finding,) = findings(text)
    assert (finding.code, finding.line) == ("nan-origin", 5)
    assert finding.why.startswith("Without `log_target=True`, `kl_div` takes the logarithm of its targets: NaN below 0.")


def test_a_small_sum_is_not_called_too_large() -> None:
    (finding,) = findings(
        "import torch\nw = torch.ones(2, requires_grad=True)\n(w + torch.tensor([1., 0.]).log()).sum().backward()\n"
    )
    assert "too large" not in finding.why


def test_a_division_by_0_names_the_numerator() -> None:
    program = "import torch\nx = torch.tensor(4.5, requires_grad=True)\ny = x / torch.tensor(0.)\ny.backward()\n"
    (finding,) = find(record(program)[1], model.Program(program))
    assert finding.message == "`x / torch.tensor(0.)` is where ∞ first appears."
    assert finding.why.startswith("The divisor is 0 (numerator 4.5).")


def test_a_square_root_of_a_negative_number_is_explained_though_where_leaves_it_out() -> None:
    program = """\
import torch
x = torch.tensor([-1., 4.], requires_grad=True)
torch.where(x > 0, torch.sqrt(x), torch.zeros(2)).sum().backward()
"""
    (finding,) = find(record(program)[1], model.Program(program))
    assert finding.message == "`torch.sqrt(x)` is where NaN first appears."
    assert finding.why.startswith(
        "The square root of a negative number is NaN. `x` ranges from −1 to 4. Later lines leave it out"
    )
    assert "`torch.where` only selects values" in finding.why


def test_a_nan_in_step_400_is_reported_at_step_400() -> None:
    program = """\
import torch
w = torch.tensor([0.5, 0.5], requires_grad=True)
opt = torch.optim.SGD([w], lr=1e-4)
for step in range(450):
    x = torch.tensor([1., 2.]) * (step != 400)
    loss = -(w * x).log().sum()
    opt.zero_grad()
    loss.backward()
    opt.step()
"""
    (finding,) = findings(program)
    assert (finding.code, finding.severity, finding.line, finding.step) == ("nan-origin", "error", 6, 400)
    assert finding.pass_ == 400
    assert "in step 400" in finding.message
    assert "Its input is 0." in finding.why


HARMLESS = {
    "a causal mask": """
q = torch.randn(4, 8, requires_grad=True)
mask = torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)
((q @ q.T).masked_fill(mask, float('-inf')).softmax(-1) @ q).sum().backward()
""",
    "a causal mask that is added": """
q = torch.randn(4, 8, requires_grad=True)
mask = torch.full((4, 4), float('-inf')).triu(1)
((q @ q.T + mask).softmax(-1) @ q).sum().backward()
""",
    "attention": """
q = torch.randn(1, 4, 8, requires_grad=True)
torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True).sum().backward()
""",
    "a NaN that where leaves out": """
x = torch.tensor([-1., 1.], requires_grad=True)
torch.where(x > 0, x.log(), torch.zeros(2)).sum().backward()
""",
    "a largest that begins with -∞": """
x = torch.randn(5, requires_grad=True)
best = torch.tensor(float('-inf'))
for i in range(5):
    best = torch.maximum(best, x[i])
best.backward()
""",
    "missing data that is left out": """
x = torch.tensor([1., float('nan'), 3.])
w = torch.tensor(2., requires_grad=True)
known = ~x.isnan()
((w * x[known] - 1) ** 2).mean().backward()
""",
    "nanmean": """
x = torch.tensor([1., float('nan'), 3.])
w = torch.tensor([2., 2., 2.], requires_grad=True)
(w * torch.nan_to_num(x)).sum().backward()
""",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_inf_or_nan_is_no_finding(name: str) -> None:
    assert findings(f"import torch\n{HARMLESS[name]}") == []


def test_without_recorded_numbers_the_origin_is_reported_as_unknown() -> None:
    _, _, _, body = ORIGINS["a logarithm of 0"]
    (finding,) = findings(f"import torch\n{body}", capture="graph")
    assert (finding.code, finding.severity) == ("nan-origin", "note")
    assert "its origin is unknown" in finding.message
    assert findings("import torch\nx = torch.ones(2, requires_grad=True)\n(x * 2).sum().backward()\n", capture="graph") == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64])
@pytest.mark.parametrize("count", [1, 3, 100])
def test_a_table_is_finite_if_all_its_tensors_are_finite(bad: float, dtype: torch.dtype, count: int) -> None:
    others = [torch.tensor(3), torch.tensor([True, False]), torch.ones(2, dtype=torch.float64), torch.ones(0)]
    spoilt = torch.ones(count, dtype=dtype)
    for alone in (True, False):
        for value, expected in ((1.0, True), (bad, False)):
            spoilt[-1] = value
            table = TableBuilder(64, "full")
            for tensor in [spoilt] if alone else [*others, spoilt, torch.ones(3)]:
                table.add(tensor)
            assert finite(pack([table])[0]) is expected


def test_a_gradient_that_spoils_the_next_loss_is_connected_to_it() -> None:
    text = """
import torch
x = torch.tensor([0.0, 1.0, 4.0])
w = torch.ones(3, requires_grad=True)
for step in range(3):
    loss = torch.sqrt(x * w).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.05 * w.grad
    w.grad = None
"""
    found = next(each for each in reported.findings(text) if each.code == "nan-origin")
    assert found.step == 0
    assert "the loss is NaN in step 1." in (found.why or "")
