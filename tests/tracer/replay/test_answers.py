"""Tests of replays: they repeat the recording's numbers, and compute beside them what PyTorch computes without Tapedeck."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tapedeck import wire
from tapedeck.errors import ProtocolError
from tapedeck.examples import gallery
from tapedeck.model import Limits
from tapedeck.recording import MemoryLog, Recording, Tensors
from tapedeck.replays.proof import Proof
from tapedeck.tracer import emitter
from tapedeck.tracer.replay import tape

from ..run_twice import PROGRAMS, record, replay

LARGER = ("Networks", "Generative models")
"""Groups of examples whose operations the other programs use too."""
EXAMPLES = [pytest.param(each.program, id=each.slug) for each in gallery() if each.group not in LARGER]
OTHERS = [
    pytest.param(path.read_text(), id=path.stem, marks=pytest.mark.ops if index % 3 else pytest.mark.slow)
    for index, path in enumerate(PROGRAMS)
    if path.stem not in ("deep_chain", "gpt", "style_transfer", "anomaly_and_checks")  # these programs take long
]
FEATURES = (
    "inplace_views",
    "custom_function",
    "sparse_and_complex",
    "checkpoints",
    "metalearning",
    "convolution",
    "transforms",
)

FIT = """\
import torch
x = torch.tensor([1., 2., 3.])
y = torch.tensor([2., 4., 6.])
m = torch.tensor(1., requires_grad=True)
for step in range(3):
    loss = ((m * x - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        m -= 0.05 * m.grad
    m.grad = None
"""


def of_kind(events: list[wire.AnyEvent], kind: Any) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def answer(program: str, **order: Any) -> Any:
    (found,) = of_kind(replay(program, **order), wire.Answer)
    return found


def floats(column: bytes) -> np.ndarray[Any, Any]:
    return np.frombuffer(column, "<f8")


def last_main(events: list[wire.AnyEvent]) -> wire.StepEvent | None:
    steps = of_kind(events, wire.StepEvent)
    return steps[-1] if steps else None


@pytest.mark.parametrize("program", OTHERS)  # the examples are replayed in tests/web/api/test_replays.py
def test_a_replay_emits_the_same_numbers_as_the_recording_up_to_its_step(program: str) -> None:
    events, recording = record(program)
    steps = of_kind(events, wire.StepEvent)
    if not steps:
        pytest.skip("nothing to replay")
    step = steps[-1]
    proof = Proof(recording, step.index)
    proof.feed(replay(program, what="check", step=step.index, index=step.main, elements=1))
    assert proof.difference is None, proof.difference
    assert proof.complete
    assert proof.answers


@pytest.mark.parametrize("program", EXAMPLES + [each for each in OTHERS if each.id in FEATURES])
def test_the_factors_of_each_node_give_the_gradients_on_its_edges(program: str) -> None:
    events, recording = record(program)
    step = last_main(events)
    if step is None:
        pytest.skip("nothing to replay")
    numbers = recording.numbers(step.main)
    ran = set(wire.int32(numbers.event.order, "order").tolist())
    ops = [index for index, node in enumerate(numbers.graph.nodes) if node.kind == "op" and index in ran]
    compared = 0
    for node_index in {*ops[:2], *ops[-1:]}:
        found = answer(program, what="factors", step=step.index, index=step.main, node=node_index)
        if isinstance(found, wire.Refused):
            assert any(word in f"{found.reason} {program}" for word in TOO_MUCH), found.reason
            continue
        tensors = Tensors(found.tensors)
        for product in found.products:
            edges = [
                at
                for at, edge in enumerate(numbers.graph.edges)
                if edge.source == f"n{node_index}" and edge.slot == product.slot and edge.gradient
            ]
            for at in edges:
                recorded, given = numbers.edge(at), tensors.summary(product.given)
                if recorded is not None and recorded.values is not None and given is not None:
                    assert given.values == recorded.values
                    compared += 1
                    summed = tensors.summary(product.summed)
                    assert summed is not None
                    np.testing.assert_allclose(_numbers(summed.values), _numbers(given.values), rtol=1e-4, atol=1e-6)
    assert compared or not ops or any(word in program for word in TOO_MUCH)


TOO_MUCH = ("factors, and at most", "checkpoint", "torch.func", "complex", "jagged")
"""Words in the reason or the program where a node cannot be called with unit vectors."""


def _numbers(values: Any) -> Any:
    return np.array(values, dtype=object).astype(float)


def test_a_surface_equals_the_losses_that_torch_computes_without_the_recorder() -> None:
    _, recording = record(FIT)
    found = answer(FIT, what="surface", step=1, index=1, targets=[wire.SweepTarget(0, low=-1, high=4)], points=33)
    axis = torch.linspace(-1, 4, 33, dtype=torch.float64).float()
    assert floats(found.axes[0]).tolist() == axis.tolist()
    x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0])
    assert floats(found.losses).tolist() == [((m * x - y) ** 2).mean().item() for m in axis]
    assert not any(found.failed)
    step = recording.step(1)
    assert step.loss is not None
    assert (found.at, found.loss) == ([step.parameters[0].value.values], step.loss.values)  # type: ignore[union-attr]
    assert found.slope == [step.parameters[0].contribution.values]  # type: ignore[union-attr]


MODEL = """\
import torch
from torch import nn
torch.manual_seed(3)
model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.4), nn.Linear(5, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
data, aim = torch.randn(8, 3), torch.randn(8, 1)
for step in range(3):
    batch = torch.randperm(8)[:6]
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(data[batch]), aim[batch])
    loss.backward()
    optimizer.step()
"""


def test_a_surface_over_two_elements_keeps_the_batch_and_the_dropout_mask_of_the_step() -> None:
    program = MODEL + "    if step == 0: state = None\n"
    _, recording = record(program)
    names = [parameter.names[0].replace("[", ".").replace("]", "") for parameter in recording.parameters()]
    first, last = names.index("model.0.weight"), names.index("model.4.weight")
    targets = [wire.SweepTarget(first, 4, -1, 1), wire.SweepTarget(last, 2, 0, 2)]
    found = answer(program, what="surface", step=1, index=1, targets=targets, points=5)

    torch.manual_seed(3)
    variables: dict[str, Any] = {}
    exec(MODEL.split("for step")[0].replace("torch.manual_seed(3)\n", "torch.manual_seed(3)\n"), variables)
    model, data, aim = variables["model"], variables["data"], variables["aim"]
    for step in range(2):
        batch = torch.randperm(8)[:6]
        state = torch.get_rng_state()
        if step == 1:
            break
        variables["optimizer"].zero_grad()
        torch.nn.functional.mse_loss(model(data[batch]), aim[batch]).backward()
        variables["optimizer"].step()
    losses = []
    for one in torch.linspace(-1, 1, 5, dtype=torch.float64).float():
        for other in torch.linspace(0, 2, 5, dtype=torch.float64).float():
            torch.set_rng_state(state)
            with torch.no_grad():
                kept = model[0].weight[1, 1].clone(), model[4].weight[0, 2].clone()
                model[0].weight[1, 1], model[4].weight[0, 2] = one, other
            losses.append(torch.nn.functional.mse_loss(model(data[batch]), aim[batch]).item())
            with torch.no_grad():
                model[0].weight[1, 1], model[4].weight[0, 2] = kept
    assert floats(found.losses).tolist() == losses
    assert len(set(losses)) == 25


RIGHT = "        return 2 * x * grad"
CUSTOM = """\
import torch
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x
    @staticmethod
    def backward(ctx, grad):
        x, = ctx.saved_tensors
        return 2 * x * grad
w = torch.tensor([0.5, -1.5, 3.0], requires_grad=True)
loss = (Square.apply(w) * torch.tensor([1.0, 2.0, 3.0])).sum()
loss.backward()
"""


def test_a_check_accepts_a_right_backward_and_finds_a_wrong_one() -> None:
    right = answer(CUSTOM, what="check", step=0, index=0)
    assert list(right.verdict) == [wire.RIGHT] * 3
    np.testing.assert_allclose(floats(right.central), [1.0, -6.0, 18.0], rtol=1e-6)
    wrong = answer(CUSTOM.replace(RIGHT, "        return x * grad"), what="check", step=0, index=0)
    assert list(wrong.verdict) == [wire.WRONG] * 3
    assert wrong.functions == ["Square"]
    assert floats(wrong.recorded).tolist() == [0.5, -3.0, 9.0]


@pytest.mark.parametrize(
    ("expression", "verdicts"),
    [
        ("torch.relu(w).sum()", [wire.RIGHT, wire.KINK, wire.RIGHT]),
        ("torch.nn.functional.leaky_relu(w, 0.2).sum()", [wire.RIGHT, wire.KINK, wire.RIGHT]),
        ("w.abs().sum()", [wire.RIGHT] * 3),  # PyTorch defines 0, which is also the central difference
        ("(w * w.detach()).sum()", [wire.RIGHT] * 3),  # a detached factor keeps its value
        ("w.exp().log().square().sum()", [wire.RIGHT] * 3),
        ("(w / 0).sum()", [wire.UNKNOWN] * 3),
    ],
)
def test_a_check_reports_kinks_as_kinks(expression: str, verdicts: list[int]) -> None:
    """Each loss also has ``relu(b)`` with zeros in ``b``: a kink of one element must not excuse another element."""
    program = f"""\
import torch
w = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
b = torch.zeros(4, requires_grad=True)
loss = {expression} + torch.relu(b).sum()
loss.backward()
"""
    found = {
        event.parameter: list(event.verdict) for event in of_kind(replay(program, what="check", step=0, index=0), wire.Checked)
    }
    names = [event.name for event in of_kind(record(program)[0], wire.ParameterEvent)]
    assert found[names.index("w")] == verdicts
    if wire.UNKNOWN not in verdicts:
        assert found[names.index("b")] == [wire.KINK] * 4


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64"])
def test_a_check_uses_the_tolerance_of_the_dtype(dtype: str) -> None:
    program = f"""\
import torch
w = torch.tensor([0.3, -1.2, 2.0], dtype=torch.{dtype}, requires_grad=True)
x = torch.linspace(0.5, 2, 3).to(torch.{dtype})
loss = ((w * x).tanh() * (w - x).square()).abs().sum()
loss.backward()
"""
    found = answer(program, what="check", step=0, index=0)
    assert found.precision == "float64"
    assert set(found.verdict) == {wire.RIGHT}
    assert len(found.verdict) == (6 if dtype == "complex64" else 3)


AUTOCAST = """\
import torch
from torch.nn.functional import mse_loss
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return FORWARD
    @staticmethod
    def backward(ctx, grad):
        x, = ctx.saved_tensors
        return BACKWARD
torch.manual_seed(0)
first, last = torch.nn.Linear(4, 8), torch.nn.Linear(8, 1)
x, y = torch.randn(16, 4), torch.randn(16, 1)
with torch.autocast("cpu", dtype=torch.DTYPE):
    loss = mse_loss(last(Square.apply(torch.relu(first(x)))), y)
loss.backward()
"""


def verdicts(program: str) -> dict[str, set[int]]:
    """Return the verdicts on each leaf of the first graph."""
    events = replay(program, what="check", every=True)
    names = [event.name for event in of_kind(events, wire.ParameterEvent)]
    assert not of_kind(events, wire.Refused)
    return {names[event.parameter]: set(event.verdict) for event in of_kind(events, wire.Checked)}


def squared(forward: str, backward: str, dtype: str = "bfloat16") -> str:
    return AUTOCAST.replace("FORWARD", forward).replace("BACKWARD", backward).replace("DTYPE", dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        ("x * x", "2 * x * grad"),
        ("x * x", "(2 * x.bfloat16() * grad).to(grad.dtype)"),
        ("(x.bfloat16() ** 2).to(x.dtype)", "2 * x * grad"),
        ("x * x * (1 if x.dtype == torch.float64 else 1.001)", "2 * x * grad"),
    ],
)
def test_a_gradient_that_autocast_rounds_is_not_called_wrong(forward: str, backward: str, dtype: str) -> None:
    found = verdicts(squared(forward, backward, dtype))
    assert set(found) == {"first.weight", "first.bias", "last.weight", "last.bias"}
    assert set().union(*found.values()) <= {wire.RIGHT, wire.KINK}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        ("x * x", "1.98 * x * grad"),  # an error below bfloat16's precision: the formula itself is wrong
        ("x * x", "-2 * x * grad"),
        ("x * x", "(2 if grad.dtype == torch.float64 else -5) * x * grad"),
        ("(x.bfloat16() ** 2).to(x.dtype)", "-5 * x * grad"),
    ],
)
def test_a_wrong_gradient_under_autocast_is_found(forward: str, backward: str, dtype: str) -> None:
    found = verdicts(squared(forward, backward, dtype))
    assert wire.WRONG in found["first.weight"]
    assert wire.WRONG in found["first.bias"]
    assert found["last.weight"] == found["last.bias"] == {wire.RIGHT}


@pytest.mark.parametrize(
    ("cast", "computed_in"),
    [
        ("w", "float32"),
        ("w.double()", "float32"),
        ("w.half()", "float16"),
        ("w.to(torch.bfloat16)", "bfloat16"),
        ("w.double().to(torch.bfloat16).float()", "bfloat16"),
    ],
)
def test_the_tolerance_is_that_of_the_coarsest_cast_in_the_computation(cast: str, computed_in: str) -> None:
    program = f"""\
import torch
w = torch.tensor([0.3, -1.2, 2.0], requires_grad=True)
x = torch.linspace(0.5, 2, 3)
v = {cast}
((v * x.to(v.dtype)).tanh() * (v - x.to(v.dtype)).square()).sum().float().backward()
"""
    found = answer(program, what="check", step=0, index=0)
    assert (found.own, found.precision) == (computed_in, "float64")
    assert set(found.verdict) == {wire.RIGHT}


def test_a_backward_inside_autocast_is_checked_outside_autocast() -> None:
    program = """\
import torch
w = torch.tensor([0.3, -1.2], requires_grad=True)
x = torch.tensor([[1., 2.], [0.5, 3.]])
before = (x @ w).exp().sum()
with torch.autocast("cpu"):
    (before + (x @ w).sum()).backward()
"""
    assert verdicts(program) == {"w": {wire.RIGHT}}


TABLE = """\
import torch
from torch.nn import functional as F
torch.manual_seed(0)
w = torch.randn(5, 3, requires_grad=True)
ids = torch.tensor([[0, 1, 1], [3, 0, 1]])
(CALL).square().sum().backward()
"""
SYMMETRIC = """\
import torch
a = torch.tensor([[2.0, 0.5], [0.5, 1.0]], requires_grad=True)
weights = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
(CALL * weights).sum().backward()
"""
CTC_LOSS = """\
import torch
torch.manual_seed(0)
w = torch.randn(5, 1, 4).log_softmax(-1).requires_grad_()
torch.nn.functional.ctc_loss(w, torch.tensor([[1, 2]]), torch.tensor([5]), torch.tensor([2])).backward()
"""
SAMPLED = """\
import torch
torch.manual_seed(0)
w = torch.tensor([1.2, 1.5, 3.0], requires_grad=True)
torch.distributions.CALL.rsample().square().sum().backward()
"""
QUANTIZED = """\
import torch
w = torch.tensor([-1.0, 0.32, 0.71, 9.0], requires_grad=True)
(torch.fake_quantize_per_tensor_affine(w, 0.1, 0, 0, 15) * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
"""


@pytest.mark.parametrize(
    ("program", "names", "defined"),
    [
        (TABLE.replace("CALL", "F.embedding(ids, w, padding_idx=0)"), ["padding_idx"], 3),
        (TABLE.replace("CALL", "F.embedding(ids, 2 * w, padding_idx=0)"), ["padding_idx"], 3),
        (TABLE.replace("CALL", "F.embedding(ids, w, scale_grad_by_freq=True)"), ["scale_grad_by_freq"], 6),
        (
            TABLE.replace("CALL", "F.embedding(ids, w, padding_idx=0, scale_grad_by_freq=True)"),
            ["padding_idx", "scale_grad_by_freq"],
            6,
        ),
        (
            TABLE.replace("CALL", "F.embedding_bag(torch.tensor([[0, 1], [1, 0]]), w, mode='sum', scale_grad_by_freq=True)"),
            ["scale_grad_by_freq"],
            6,
        ),
        (TABLE.replace("CALL", "F.embedding_bag(ids, w, mode='sum', padding_idx=0)"), [], 0),
        (TABLE.replace("CALL", "F.embedding(ids, w, max_norm=0.5)"), [], 0),
        (SYMMETRIC.replace("CALL", "torch.linalg.cholesky(a)"), ["cholesky"], 2),
        (SYMMETRIC.replace("CALL", "torch.linalg.eigh(a)[0]"), ["eigh"], 2),
        (CTC_LOSS, ["ctc_loss"], 20),
        (QUANTIZED, ["fake_quantize"], 2),
        (SAMPLED.replace("CALL", "Gamma(w, w)"), ["rsample"], 3),
        (SAMPLED.replace("CALL", "Beta(w, 2 * w)"), ["rsample"], 3),
        (SAMPLED.replace("CALL", "Normal(w, w)"), [], 0),
    ],
)
def test_a_gradient_that_torch_defines_differently_is_not_called_wrong(program: str, names: list[str], defined: int) -> None:
    found = answer(program, what="check", step=0, index=0, elements=100)
    assert found.definitions == names
    assert list(found.verdict).count(wire.DEFINED) == defined
    assert set(found.verdict) <= {wire.RIGHT, wire.DEFINED}


def test_a_gradient_that_torch_defines_differently_does_not_hide_a_wrong_one() -> None:
    program = CUSTOM.replace(RIGHT, "        return x * grad").replace(
        "loss.backward()",
        "table = torch.ones(2, 2, requires_grad=True)\n"
        "loss = loss + torch.nn.functional.embedding(torch.tensor([0, 1]), table, padding_idx=0).sum()\nloss.backward()",
    )
    assert verdicts(program) == {"w": {wire.WRONG}, "table": {wire.RIGHT, wire.DEFINED}}


def test_a_detached_part_is_excluded_from_the_checked_function() -> None:
    program = """\
import torch
w = torch.tensor([0.3, -1.2, 2.0], requires_grad=True)
passed = w + (w.round() - w).detach()
hard = torch.nn.functional.gumbel_softmax(w, hard=True)
(passed ** 2 + hard * torch.arange(3.) + torch.nn.functional.dropout(w, 0.5)).sum().backward()
"""
    assert verdicts(program) == {"w": {wire.RIGHT}}


def test_a_small_gradient_that_remains_after_cancellation_is_not_called_wrong() -> None:
    program = FIT.replace("range(3)", "range(40)")
    found = answer(program, what="check", step=39, index=39)
    assert list(found.verdict) == [wire.RIGHT]


def test_a_pass_that_cannot_be_evaluated_again_is_refused_with_the_reason() -> None:
    shared = """\
import numpy, torch
memory = numpy.ones(3, dtype=numpy.float32)
w = torch.ones(3, requires_grad=True)
loss = (w + torch.from_numpy(memory)).square().sum()
memory[:] = 5
loss.backward()
"""
    refused = answer(shared, what="surface", step=0, index=0, targets=[wire.SweepTarget(0)], points=3)
    assert isinstance(refused, wire.Refused)
    assert "with the recorded values its calls give a loss of 108, but 12 was recorded" in refused.reason
    hooked = "import torch\nw = torch.ones(2, requires_grad=True)\nw.register_hook(lambda g: 2 * g)\nw.sum().backward()"
    refused = answer(hooked, what="check", step=0, index=0)
    assert "a hook" in refused.reason
    sparse = "import torch\ns = torch.eye(2).to_sparse().requires_grad_()\ns.to_dense().square().sum().backward()"
    refused = answer(sparse, what="check", step=0, index=0)
    assert "its leaves is sparse" in refused.reason


def test_a_check_of_every_graph_does_not_change_the_program() -> None:
    program = MODEL + "print(model(data).sum().item(), torch.rand(1).item())\n"
    alone, _ = record(program)
    checked = replay(program, what="check", every=True)
    for kind in (wire.ParameterEvent, wire.GraphEvent, wire.PassEvent, wire.StepEvent):
        first, second = ([wire.pack([event]) for event in of_kind(each, kind)] for each in (alone, checked))
        assert second == first
    printed, alone_printed = ("".join(event.text for event in of_kind(each, wire.OutputEvent)) for each in (checked, alone))
    assert printed == alone_printed
    found = of_kind(checked, wire.Checked)
    assert {event.index for event in found} == {0}
    assert len(found) == 6
    assert all(set(event.verdict) == {wire.RIGHT} for event in found)


def test_a_leaf_that_a_hook_updates_during_a_pass_is_replayed_with_its_value_at_the_start() -> None:
    program = """\
import torch
w = torch.tensor([1.0, 2.0], requires_grad=True)
def update(leaf):
    with torch.no_grad():
        leaf -= 0.5 * leaf.grad
w.register_post_accumulate_grad_hook(update)
(w ** 2).sum().backward()
"""
    found = answer(program, what="surface", step=0, index=0, targets=[wire.SweepTarget(0, 1, 0, 4)], points=3)
    assert (found.at, found.loss, found.slope) == ([2.0], 5.0, [4.0])
    assert floats(found.losses).tolist() == [1.0, 5.0, 17.0]


def test_the_torch_function_of_a_subclass_is_called_as_often_as_without_the_tape() -> None:
    program = (PROGRAMS[0].parent / "tensor_subclass.py").read_text()
    recorded, replayed = record(program)[0], replay(program, what="check", every=True)
    printed, again = ("".join(event.text for event in of_kind(each, wire.OutputEvent)) for each in (recorded, replayed))
    assert again == printed


def test_a_replay_stops_after_its_step() -> None:
    events = replay(FIT.replace("range(3)", "range(1000)"), what="check", step=1, index=1)
    assert len(of_kind(events, wire.StepEvent)) == 2
    assert of_kind(events, wire.EndEvent)[0].status == "done"


def test_an_answer_without_a_replay_order_is_rejected() -> None:
    message = wire.frames(wire.pack([wire.Refused(0, "why")]))
    with pytest.raises(ProtocolError, match="not requested"):
        list(wire.Reader(Limits()).feed(message))
    assert list(wire.Reader(Limits(), replay=True).feed(message)) == [wire.Refused(0, "why")]


@pytest.mark.parametrize(
    "event",
    [
        wire.Surface(0, [1.0], 1.0, [1.0], [b"12345678"], b"1234567", b"\0"),
        wire.Surface(0, [1.0], 1.0, [1.0], [b""], b"", b""),
        wire.Surface(0, [1.0, 1.0], 1.0, [1.0], [b"12345678"], b"12345678", b"\0"),
        wire.Checked(0, 7, "float64", b"", b"", b"", b"", b"", b"", b""),
        wire.Factors(0, 0, [wire.FactorRow(0, 0, 1)], [], wire.TensorTable()),
        wire.Distributions(0, 0, wire.DistributionRow([2], 0.0, 1.0, [1, 2], [], None), []),
        wire.Distributions(0, 0, None, [wire.DistributionRow([2], 0.0, 1.0, [2], [(2, 1.0)], None)]),
        wire.Distributions(0, 0, wire.DistributionRow([2], 0.0, 1.0, [1], [], (2, float("nan"))), []),
        wire.Distributions(0, 0, wire.DistributionRow([2**62, 4], 0.0, 1.0, [1], [], None), []),
        wire.Dependence(0, 0, 0, 1_025, []),
        wire.Dependence(0, 0, 0, 2, [wire.DependenceRow(0, [3], 0, b"", b"")]),
        wire.Dependence(0, 0, 0, 2, [wire.DependenceRow(0, [2], 1, b"", b"")]),
        wire.Dependence(0, 0, 0, 2, [wire.DependenceRow(0, [2], 0, bytes(4), b"\0")]),
        wire.Dependence(0, 0, 0, 2, [wire.DependenceRow(0, [2], 0, bytes([2, 0, 0, 0]), b"\0\0")]),
        wire.Dependence(0, 0, 0, 2, [wire.DependenceRow(0, [2], 0, bytes(33 * 4), bytes(66))]),
    ],
)
def test_an_answer_whose_columns_do_not_fit_is_refused(event: wire.AnyEvent) -> None:
    with pytest.raises(ProtocolError):
        list(wire.Reader(Limits(), replay=True).feed(wire.frames(wire.pack([event]))))


def test_gradients_that_a_pass_adds_to_are_recorded_with_their_earlier_values() -> None:
    program = """\
import torch
w = torch.tensor([1., 2.], requires_grad=True)
for _ in range(3):
    loss = (w ** 2).sum()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad.zero_()
"""
    _, recording = record(program)
    assert [recording.step(index).values["8"].tensor.values for index in range(3)] == [[0.0, 0.0]] * 3  # type: ignore[union-attr]


def test_running_statistics_are_recorded_as_the_pass_saved_them() -> None:
    program = """\
import torch
norm = torch.nn.BatchNorm1d(2)
x = torch.tensor([[1., 2.], [3., 6.]])
for _ in range(2):
    norm(x).square().sum().backward()
"""
    events, _ = record(program)
    recording = Recording(MemoryLog(events), program)
    numbers = recording.numbers(0)
    (index,) = [at for at, node in enumerate(numbers.graph.nodes) if node.op.startswith("NativeBatchNorm")]
    saved = {name: numbers.saved(index, slot) for slot, name in enumerate(numbers.graph.nodes[index].saved)}
    assert saved["running_mean"] is not None
    np.testing.assert_allclose(saved["running_mean"].values, [0.2, 0.4], rtol=1e-6)


def test_the_tape_drops_the_batches_of_finished_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape, "SWEEP_BYTES", 4_000)
    monkeypatch.setattr(emitter, "INTERVAL", 0.0)  # pending events keep their tensors and earlier calls in memory
    program = """\
import torch, weakref
w = torch.tensor(1.0, requires_grad=True)
batches = []
for step in range(60):
    batch = torch.rand(100)
    batches.append(weakref.ref(batch))
    loss = (w * batch).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
    if step == 50:
        print(sum(batch() is not None for batch in batches) < 20)
"""
    events = replay(program, what="check", every=True)
    assert "".join(event.text for event in of_kind(events, wire.OutputEvent)) == "True\n"
