"""Gradients that the program writes to in place are recorded as they were when they flowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tapedeck import wire
from tapedeck.recording.pass_numbers import PassNumbers
from tapedeck.recording.tensors import Tensors

from ..independent_observer import _node, _walk, bits, name
from ..run_twice import recorded, unrecorded

pytestmark = pytest.mark.filterwarnings("ignore")

Seen = Counter[tuple[str, str, int, Any]]
BEGIN = (
    "import torch\nnone = lambda value: None\n"
    "torch.manual_seed(1)\narrived = {}\nw = torch.rand(4, requires_grad=True)\na = w * 2\nb = w * 3\n"
)
END = "((a + b) ** 2).sum().backward()\ngrad = w.grad"
FUNCTION = """
class Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2
    @staticmethod
    def backward(ctx, g):
        arrived["s"] = g.clone()
        {write}
        return g
"""
CLAMP = "def clamp(g):\n    arrived[{name!r}] = g.clone()\n    g.clamp_(-0.1, 0.1)\n"
PROGRAMS = {
    "a tensor's hook": f"{CLAMP.format(name='a')}a.register_hook(clamp)\n{END}",
    "a hook on the branch that runs first": f"{CLAMP.format(name='b')}b.register_hook(clamp)\n{END}",
    "hooks on both branches": f"{CLAMP.format(name='b')}b.register_hook(clamp)\na.register_hook(lambda g: g.mul_(3))\n{END}",
    "two hooks on one tensor": f"{CLAMP.format(name='a')}a.register_hook(clamp)\na.register_hook(lambda g: g.neg_())\n{END}",
    "a hook that returns the gradient": f"{CLAMP.format(name='b')}    return g\nb.register_hook(clamp)\n{END}",
    "a view": "def half(g):\n    arrived['b'] = g.clone()\n    g[:2].zero_()\nb.register_hook(half)\n" + END,
    "an alias": "def half(g):\n    arrived['b'] = g.clone()\n    g.data.mul_(2)\nb.register_hook(half)\n" + END,
    "an item": "def half(g):\n    arrived['b'] = g.clone()\n    g[1] = 7\nb.register_hook(half)\n" + END,
    "an out argument": (
        "def half(g):\n    arrived['b'] = g.clone()\n    torch.mul(g, 5, out=g)\nb.register_hook(half)\n" + END
    ),
    "several at once": (
        "def half(g):\n    arrived['b'] = g.clone()\n    torch._foreach_mul_([g], 3.)\nb.register_hook(half)\n" + END
    ),
    "a node's prehook": "def pre(gs):\n    arrived['b'] = gs[0].clone()\n    gs[0].mul_(2)\nb.grad_fn.register_prehook(pre)\n"
    + END,
    "what a node's hook computed": "a.grad_fn.register_hook(lambda gi, go: none(gi[0].mul_(2)))\n" + END,
    "what a node's hook was given": "b.grad_fn.register_hook(lambda gi, go: none(go[0].zero_()))\n" + END,
    "two posthooks": (
        "b.grad_fn.register_hook(lambda gi, go: none(go[0].zero_()))\n"
        "b.grad_fn.register_hook(lambda gi, go: none(go[0].add_(5)))\n" + END
    ),
    "a leaf's hook": f"w.register_hook(lambda g: g.mul_(2))\n{END}",
    "a leaf's hook on a shared gradient": (
        "v = torch.rand(4, requires_grad=True)\nu = torch.rand(4, requires_grad=True)\nv.register_hook(lambda g: g.mul_(2))\n"
        "u.register_hook(lambda g: g.mul_(3))\n((u + v) * w).sum().backward()\ngrad = [u.grad, v.grad]"
    ),
    "after accumulation": f"w.register_post_accumulate_grad_hook(lambda p: none(p.grad.mul_(2)))\n{END}",
    "after accumulation without a sum": (
        "w.register_post_accumulate_grad_hook(lambda p: none(p.grad.mul_(2)))\n(a ** 2).sum().backward()\ngrad = w.grad"
    ),
    "after accumulation, twice": (
        "w.register_post_accumulate_grad_hook(lambda p: none(p.grad.mul_(2)))\nfor i in range(2):\n"
        "    ((w * 2) ** 2).sum().backward()\ngrad = w.grad"
    ),
    "a custom backward": FUNCTION.format(write="g.mul_(3)") + "s = Scale.apply(a)\n(s * b).sum().backward()\ngrad = w.grad",
    "a custom backward on a shared gradient": (
        FUNCTION.format(write="g.mul_(3)") + "s = Scale.apply(a)\n((b + s) ** 2).sum().backward()\ngrad = w.grad"
    ),
    "a custom backward on a shared gradient, first": (
        FUNCTION.format(write="g[0] = 0") + "c = w * 4\ns = Scale.apply(b)\n((s + a * c) ** 2).sum().backward()\ngrad = w.grad"
    ),
    "a custom backward that is given a sum": (
        FUNCTION.format(write="g.mul_(3)") + "s = Scale.apply(a)\n(s * b + s.exp()).sum().backward()\ngrad = w.grad"
    ),
    "a module's backward hook": (
        "layer = torch.nn.Linear(4, 4)\nlayer.register_full_backward_hook(lambda m, gi, go: none(gi[0].mul_(2)))\n"
        "((layer(a) + b) ** 2).sum().backward()\ngrad = w.grad"
    ),
    "what a module's backward hook was given": (
        "layer = torch.nn.Linear(4, 4)\nlayer.register_full_backward_hook(lambda m, gi, go: none(go[0].mul_(2)))\n"
        "((layer(a) + b) ** 2).sum().backward()\ngrad = w.grad"
    ),
    "a module's pre-hook": (
        "layer = torch.nn.Tanh()\nlayer.register_full_backward_pre_hook(lambda m, go: none(go[0].mul_(2)))\n"
        "((layer(a) + b) ** 2).sum().backward()\ngrad = w.grad"
    ),
    "the gradient that the program gave": (
        "given = torch.ones(4)\na.register_hook(lambda g: g.mul_(5))\na.backward(given)\ngrad = w.grad"
    ),
    "a sum of three": (
        "def twice(g):\n    arrived['a'] = g.clone()\n    g.mul_(2)\na.register_hook(twice)\n"
        "(a.exp() + a.sin() + a * b).sum().backward()\ngrad = w.grad"
    ),
    "an overwritten summand": (
        "c = a * 1\nb.register_hook(lambda g: g.mul_(2))\n((b + c) * a).sum().backward()\ngrad = w.grad"
    ),
    "a large one": (
        "w = torch.rand(3000, requires_grad=True)\na = w * 2\nb = w * 3\ndef twice(g):\n    arrived['b'] = g.clone()\n"
        f"    g.mul_(2)\nb.register_hook(twice)\n{END}"
    ),
    "grad of two": ("b.register_hook(lambda g: g.mul_(2))\ngrad = torch.autograd.grad(((a + b) ** 2).sum(), [w, a])"),
    "grad of the tensor with the hook": (
        "b.register_hook(lambda g: g.mul_(2))\ngrad = torch.autograd.grad(((a + b) ** 2).sum(), [a, b])"
    ),
    "several passes": (
        "b.register_hook(lambda g: g.mul_(2))\nloss = ((a + b) ** 2).sum()\nloss.backward(retain_graph=True)\nloss.backward()\n"
        "grad = w.grad"
    ),
    "a kept gradient that is written to later": (
        "kept = []\nb.register_hook(kept.append)\nw.register_hook(lambda g: none(kept[0].zero_()))\n" + END
    ),
    "create_graph": (
        "b.register_hook(lambda g: none(g.data.mul_(2)))\n"
        "((a + b) ** 2).sum().backward(create_graph=True)\ngrad = w.grad.detach()"
    ),
}


@contextmanager
def observing() -> Iterator[list[Seen]]:
    """Collect copies of the gradients at each node, before and after its formula, in a run without the recorder."""
    gate: Any = torch.autograd
    original = gate._engine_run_backward
    passes: list[Seen] = []

    def run(outputs: Any, *args: Any, **kwargs: Any) -> Any:
        nodes, _ = _walk([_node(output) for output in outputs])
        seen: Seen = Counter()
        passes.append(seen)
        handles = []
        ran = set()
        for node in nodes:
            op = name(node)

            def before(gradients: Any, op: str = op, node: Any = node) -> None:
                ran.add(node)
                seen.update(("used", op, at, bits(each)) for at, each in enumerate(gradients) if each is not None)

            def after(gradients: Any, _: Any, op: str = op) -> None:
                seen.update(("edge", op, at, bits(each)) for at, each in enumerate(gradients) if each is not None)

            handles += [node.register_prehook(before), node.register_hook(after)]
        try:
            result = original(outputs, *args, **kwargs)
            if not kwargs.get("accumulate_grad", True):  # the nodes of most inputs don't run
                for given, gradient in zip(args[3], result, strict=True):
                    if _node(given) not in ran:
                        seen["used", name(_node(given)), given.output_nr, bits(gradient)] += 1
            return result
        finally:
            for handle in handles:
                handle.remove()

    gate._engine_run_backward = run
    try:
        yield passes
    finally:
        gate._engine_run_backward = original


def _bits(tensors: Tensors, row: int) -> Any:
    array = tensors.array(row)
    return None if array is None else (tensors.summary(row).dtype, array.shape, array.tobytes())  # type: ignore[union-attr]


def _recorded(numbers: PassNumbers) -> Seen:
    used = iter(wire.int32(numbers.event.used, "used").tolist())
    edges = iter(wire.int32(numbers.event.edge, "edge").tolist())
    nodes = {node.id: node for node in numbers.graph.nodes}
    rows = [("used", node.op, output, next(used)) for node in numbers.graph.nodes for output in range(node.outputs)]
    rows += [("edge", nodes[edge.source].op, edge.slot, next(edges)) for edge in numbers.graph.edges]
    return Counter((kind, op, at, _bits(numbers.tensors, row)) for kind, op, at, row in rows if row >= 0)


@pytest.mark.parametrize("case", PROGRAMS)
def test_the_gradients_are_those_that_flow_without_the_recorder(case: str) -> None:
    text = BEGIN + PROGRAMS[case]
    with observing() as expected:
        plain = unrecorded(text)
    assert plain.error is None
    outcome, events, recording = recorded(text, values=4096)
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    assert len(expected) == recording.log.counts()[1]
    for index, seen in enumerate(expected):
        assert _recorded(recording.numbers(index)) == seen
    _same(outcome.variables["grad"], plain.variables["grad"])


def _same(one: Any, other: Any) -> None:
    for each, its in zip(*((part,) if isinstance(part, torch.Tensor) else part for part in (one, other)), strict=True):
        assert torch.equal(each, its)


@pytest.mark.parametrize("case", PROGRAMS)
def test_the_gradient_that_arrived_is_the_one_before_a_hook_wrote_to_it(case: str) -> None:
    text = BEGIN + PROGRAMS[case]
    arrived = unrecorded(text).variables["arrived"]
    _, _, recording = recorded(text, values=4096)
    numbers = recording.numbers(0)
    for index, node in enumerate(numbers.graph.nodes):
        rows = wire.int32(numbers.event.arrived, "arrived")
        if node.name in arrived:
            row = int(rows[numbers._first_output[index]])
            assert _bits(numbers.tensors, row) == bits(arrived[node.name]), node.name


@pytest.mark.parametrize("case", PROGRAMS)
def test_the_contribution_of_a_pass_and_the_gradient_after_it_are_right(case: str) -> None:
    text = BEGIN + PROGRAMS[case]
    _, _, recording = recorded(text, values=4096)
    plain = unrecorded(text).variables
    step = recording.log.step(recording.log.counts()[2] - 1)
    tensors = Tensors(step.tensors)
    for row in step.parameters:
        leaf = plain.get(row.name or "")
        if leaf is not None and leaf.grad is not None:
            assert _bits(tensors, row.grad_after) == bits(leaf.grad)
