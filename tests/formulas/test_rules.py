"""Each rule gives the gradient that PyTorch's own node gives for random operands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import latex2mathml.converter
import numpy as np
import pytest
import torch
from tapedeck.formulas import GRADIENTS, IN_EVALUATION, RULES
from tapedeck.formulas.evaluate import evaluate, gradient
from tapedeck.formulas.functions import FUNCTIONS
from tapedeck.formulas.latex import latex
from tapedeck.formulas.rule import LocalRule
from tapedeck.formulas.transposed import derivatives_of

SHAPES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "MulBackward0": {"other": (3,)},
    "DivBackward0": {"other": (1, 3)},
    "AddBackward0": {"self": (3,)},
    "DotBackward0": {"self": (3,), "tensor": (3,)},
    "MvBackward0": {"vec": (3,)},
    "MmBackward0": {"mat2": (3, 4)},
    "BmmBackward0": {"self": (2, 3, 4), "mat2": (2, 4, 2)},
    "AddmmBackward0": {"self": (4,), "mat1": (2, 3), "mat2": (3, 4)},
    "BaddbmmBackward0": {"self": (2, 1, 2), "batch1": (2, 3, 4), "batch2": (2, 4, 2)},
    "AddmvBackward0": {"self": (2,), "mat": (2, 3), "vec": (3,)},
    "AddrBackward0": {"self": (2, 3), "vec1": (2,), "vec2": (3,)},
    "TraceBackward0": {"self": (3, 3)},
    "LinalgInvExBackward0": {"A": (3, 3)},
    "LinalgDetBackward0": {"A": (3, 3)},
    "ExpandBackward0": {"self": (1, 3)},
    "SqueezeBackward0": {"self": (1, 3)},
    "SqueezeBackward1": {"self": (2, 1)},
    "SqueezeBackward2": {"self": (1, 3)},
    "PermuteBackward0": {"self": (2, 3, 4)},
    "TransposeBackward0": {"self": (2, 3, 4)},
    "NativeLayerNormBackward0": {"weight": (3,), "bias": (3,)},
    "EmbeddingBackward0": {"weight": (4, 3)},
    "ConvolutionBackward0": {"input": (2, 3, 5, 6), "weight": (4, 3, 3, 2), "bias": (4,)},
    "NativeBatchNormBackward0": {"input": (4, 3, 2, 2), "weight": (3,), "bias": (3,)},
    "MaxPool2DWithIndicesBackward0": {"self": (2, 3, 4, 6)},
    "AvgPool2DBackward0": {"self": (2, 3, 4, 6)},
    "LinalgSlogdetBackward0": {"A": (3, 3)},
    "LinalgSolveExBackward0": {"A": (3, 3), "B": (3, 2)},
    "IndexAddBackward0": {"source": (2, 2)},
    "IndexCopyBackward0": {"source": (2, 2)},
    "ScatterBackward0": {"src": (2, 2)},
    "ScatterAddBackward0": {"src": (2, 2)},
    "MaskedFillBackward1": {"value": ()},
    "MaskedScatterBackward0": {"source": (2, 3)},
    "DiagonalBackward0": {"self": (3, 3)},
    "UnfoldBackward0": {"self": (2, 5)},
    "ReflectionPad1DBackward0": {"self": (2, 3)},
    "ReplicationPad2DBackward0": {"self": (1, 2, 3)},
    "UpsampleNearest2DBackward0": {"self": (1, 2, 2, 3)},
    "PixelShuffleBackward0": {"self": (1, 4, 2, 3)},
    "GluBackward0": {"self": (2, 4)},
    "NllLoss2DBackward0": {"self": (1, 3, 2, 2)},
    "PreluKernelBackward0": {"weight": (1, 3)},
    "NativeGroupNormBackward0": {"input": (2, 4, 2, 3), "weight": (4,), "bias": (4,)},
    "ScaledDotProductFlashAttentionForCpuBackward0": dict.fromkeys(("query", "key", "value"), (1, 2, 3, 4)),
    "IndexPutBackward0": {"values": (2, 3)},
    "SelectBackwardBackward0": {"grad_output": (2,)},
    "SliceBackwardBackward0": {"grad_output": (2, 2)},
}
"""Shapes of operands that are not (2, 3)."""
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "ViewBackward0": {"shape": (3, 2)},
    "ReshapeAliasBackward0": {"shape": (3, 2)},
    "UnsafeViewBackward0": {"shape": (3, 2)},
    "ExpandBackward0": {"shape": (2, 3)},
    "RepeatBackward0": {"repeats": (2, 2)},
    "SqueezeBackward1": {"dim": 1},
    "SqueezeBackward2": {"dims": (0,)},
    "TransposeBackward0": {"dim0": 0, "dim1": 2},
    "PermuteBackward0": {"dims": (2, 0, 1)},
    "SelectBackward0": {"dim": 1, "index": 2},
    "SliceBackward0": {"dim": 1, "start": 0, "end": 3, "step": 2},
    "FlipBackward0": {"dims": (0, 1)},
    "RollBackward0": {"shifts": 1},
    "ClampBackward1": {"min": 0.3, "max": 0.6},
    "ClampMinBackward0": {"min": 0.5},
    "ClampMaxBackward0": {"max": 0.5},
    "ThresholdBackward0": {"limit": 0.5},
    "PowBackward0": {"exponent": 3},
    "NativeLayerNormBackward0": {"normalized_shape": (3,), "dim": -1},
    "TrilBackward0": {"diagonal": 0},
    "TriuBackward0": {"diagonal": 1},
    "VarBackward0": {"correction": 1},
    "SoftplusBackward0": {"beta": 2},
    "SoftplusBackwardBackward0": {"beta": 2},
    "UnfoldBackward0": {"length": 3, "step": 2},
    "ReflectionPad1DBackward0": {"padding": (1, 1)},
    "ReplicationPad2DBackward0": {"padding": (1, 1, 1, 1)},
    "UpsampleNearest2DBackward0": {"enlarged": (4, 6)},
    "ConstantPadNdBackward0": {"padding": (1, 2, 0, 1)},
    "TransposeBackward1": {"dim0": 0, "dim1": 1},
    "SelectBackwardBackward0": {"sizes": (2, 3), "index": 1},
    "SliceBackwardBackward0": {"sizes": (2, 5), "start": 1, "end": 5, "step": 2},
    "MulBackward1": {"other": 3.0},
    "DivBackward1": {"other": 3.0},
    "IndexBackward0": {"indices0": torch.tensor([1, 0, 1])},
    "IndexPutBackward0": {"indices0": torch.tensor([1, 0])},
    "ConvolutionBackward0": {"stride": (1, 2), "padding": (0, 1), "dilation": (2, 1)},
}
"""Options other than the rule's default, and ``dim`` 1."""
TENSORS: Mapping[str, Any] = {
    "condition": torch.tensor([[True, False, True], [False, False, True]]),
    "mask": torch.tensor([[True, False, True], [False, False, True]]),
    "indices": torch.tensor([1, 3, 1]),
    "running_mean": torch.tensor([0.1, 0.5, 0.3], dtype=torch.float64),
    "running_var": torch.tensor([0.4, 0.2, 1.5], dtype=torch.float64),
    "float32": torch.float32,
    "float64": torch.float64,
    "aten": torch.ops.aten,
}
TARGETS: Mapping[str, Any] = {
    "NllLossBackward0": torch.tensor([2, 0]),
    "NllLoss2DBackward0": torch.tensor([[[2, 0], [1, 1]]]),
    "SoftMarginLossBackward0": torch.tensor([[1.0, -1, 1]] * 2),
}
INDICES: Mapping[str, Any] = {
    "IndexSelectBackward0": torch.tensor([2, 0, 2]),
    "GatherBackward0": torch.tensor([[2, 0], [1, 1]]),
    "IndexAddBackward0": torch.tensor([2, 0]),
    "IndexCopyBackward0": torch.tensor([2, 0]),
    "IndexFillBackward0": torch.tensor([2, 0]),
    "ScatterBackward0": torch.tensor([[2, 0], [1, 0]]),
    "ScatterBackward1": torch.tensor([[2, 0], [1, 0]]),
    "ScatterAddBackward0": torch.tensor([[2, 0], [1, 1]]),
    "TakeBackward0": torch.tensor([5, 0, 5]),
}
SHIFTED = {"AcoshBackward0": 1.0, "SignBackward0": -0.5, "HardswishBackward0": -3.0, "AbsBackward0": -0.5}
"""What is added to operands, which are otherwise between 0.2 and 0.8."""
CALLS = {
    "AddBackward1": "aten.add.Scalar(self, 0.3)",
    "SubBackward1": "aten.sub.Scalar(self, 0.3)",
    "MulBackward1": "aten.mul.Scalar(self, other)",
    "DivBackward1": "aten.div.Scalar(self, other)",
    "NllLoss2DBackward0": "nll_loss(self, target)",
}
"""Calls of operations that PyTorch's own code uses instead of those that programs call."""
NOT_MADE = {"ReshapeAliasBackward0", "UnsafeViewBackward0", "AliasBackward0", "ToCopyBackward0"}
NOT_MADE |= {
    "LeakyReluBackward1",
    "TBackward1",
    "TransposeBackward1",
    "UnsqueezeBackward1",
    "SqueezeBackward3",
    "SqueezeBackward4",
}
"""Nodes that the call makes only in some cases; their rules are those of `view` and `clone`, or of the call out of place."""


class _Calls(dict[str, Any]):
    """The names in a call: operands and options, and PyTorch's functions."""

    def __missing__(self, name: str) -> Any:
        if name == "slice":
            return torch.ops.aten.slice
        if name == "dim":
            return 1
        homes = (torch.nn.functional, torch, torch._C._nn, torch._C._linalg, torch.Tensor)
        return next(getattr(home, name) for home in homes if hasattr(home, name))


def prepared(rule: LocalRule) -> tuple[dict[str, torch.Tensor], dict[str, Any], tuple[torch.Tensor, ...]]:
    """Return random operands, the other values by name, and the results of the rule's call."""
    torch.manual_seed(len(rule.op))
    shapes, moved = SHAPES.get(rule.op, {}), SHIFTED.get(rule.op, 0.0)
    operands = {
        name: (torch.rand(shapes.get(name, (2, 3)), dtype=torch.float64) * 0.6 + 0.2 + moved).requires_grad_()
        for name in rule.gradients
    }
    options = {name: values[0] for name, values in rule.options.items()} | dict(OPTIONS.get(rule.op, {}))
    others = {**TENSORS, "target": TARGETS.get(rule.op), "index": INDICES.get(rule.op)}
    known = {name: value for name, value in others.items() if value is not None}
    known |= {"other": 2.0} if rule.op == "RsubBackward1" else {}
    found = eval(CALLS.get(rule.op, rule.value), {}, _Calls(known | options | operands))
    return operands, options, found if isinstance(found, tuple) else (found,)


def known_to(
    rule: LocalRule, operands: Mapping[str, torch.Tensor], options: Mapping[str, Any], result: torch.Tensor
) -> dict[str, Any]:
    saved = {
        name: value.detach().numpy()
        for name in (*{need for needs in rule.needs.values() for need in needs}, "result1", "result2", "logsumexp", "output")
        if isinstance(value := getattr(result.grad_fn, f"_saved_{name}", None), torch.Tensor)
    }
    saved = {name: value for name, value in saved.items() if value.size}
    given = {name: operand.detach().numpy() for name, operand in operands.items()}
    dim = {} if "dim" in options else {"dim": 1}
    return dim | dict(options) | saved | given | {"result": result.detach().numpy()}


def check_convolution(operand: str, grad: Any, known: Mapping[str, Any], theirs: Any) -> None:
    """Compare the gradient of a convolution with PyTorch's, and the derivatives by its first and last elements with both."""
    rule = RULES["ConvolutionBackward0"]
    ours = gradient(rule, operand, grad, known, theirs.shape)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    for element in (0, theirs.size - 1):
        derivatives = derivatives_of(rule, operand, known, grad.shape, theirs.shape, element)
        np.testing.assert_allclose(grad.reshape(-1) @ derivatives, theirs.reshape(-1)[element], rtol=1e-9)


@pytest.mark.parametrize(
    ("sizes", "channels", "options"),
    [
        ((7,), (4, 4), {"stride": 2, "padding": 1, "groups": 2}),
        ((5, 5), (2, 3), {"stride": 2}),
        ((4, 4, 4), (2, 2), {"padding": 1}),
    ],
    ids=["of a line, in groups", "of a plane", "of a space"],
)
def test_a_convolution_has_its_gradients_in_every_number_of_dimensions(
    sizes: tuple[int, ...], channels: tuple[int, int], options: dict[str, int]
) -> None:
    call = (torch.conv1d, torch.conv2d, torch.conv3d)[len(sizes) - 1]
    groups = options.get("groups", 1)
    x = torch.rand(2, channels[0], *sizes, dtype=torch.float64, requires_grad=True)
    kernel = torch.rand(channels[1], channels[0] // groups, *(2 for _ in sizes), dtype=torch.float64, requires_grad=True)
    result = call(x, kernel, **options)
    grad = torch.rand_like(result)
    known = {
        "stride": 1,
        "padding": 0,
        "dilation": 1,
        "is_transposed": False,
        **options,
        "input": x.detach().numpy(),
        "weight": kernel.detach().numpy(),
    }
    for name, operand in (("input", x), ("weight", kernel)):
        (theirs,) = torch.autograd.grad(result, operand, grad, retain_graph=True)
        check_convolution(name, grad.numpy(), known, theirs.numpy())


@pytest.mark.parametrize(
    ("sizes", "channels", "options"),
    [
        ((7,), (4, 6), {"stride": 2, "padding": 1, "groups": 2}),
        ((4, 5), (2, 3), {"stride": 2, "output_padding": 1}),
        ((4, 5), (2, 3), {"padding": 1, "dilation": 2}),
        ((3, 3, 3), (2, 2), {"padding": 1}),
    ],
    ids=["of a line, in groups", "of a plane, longer", "of a plane, dilated", "of a space"],
)
def test_a_transposed_convolution_has_its_gradients_in_every_number_of_dimensions(
    sizes: tuple[int, ...], channels: tuple[int, int], options: dict[str, int]
) -> None:
    call = (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)[len(sizes) - 1]
    groups = options.get("groups", 1)
    x = torch.rand(2, channels[0], *sizes, dtype=torch.float64, requires_grad=True)
    kernel = torch.rand(channels[0], channels[1] // groups, *(2 for _ in sizes), dtype=torch.float64, requires_grad=True)
    result = call(x, kernel, **options)
    grad = torch.rand_like(result)
    known = {"stride": 1, "padding": 0, "dilation": 1, **options, "is_transposed": True}
    known |= {"input": x.detach().numpy(), "weight": kernel.detach().numpy()}
    for name, operand in (("input", x), ("weight", kernel)):
        (theirs,) = torch.autograd.grad(result, operand, grad, retain_graph=True)
        check_convolution(name, grad.numpy(), known, theirs.numpy())
        with pytest.raises(ValueError, match="not"):
            evaluate(RULES["ConvolutionBackward0"].gradients[name], {**known, "grad": grad.numpy()[..., :-2]})


@pytest.mark.parametrize("op", [*(op for op in RULES if op not in NOT_MADE), IN_EVALUATION])
def test_a_rule_gives_the_gradient_that_the_node_gives(op: str | LocalRule) -> None:
    rule = RULES[op] if isinstance(op, str) else op
    operands, options, results = prepared(rule)
    node = results[0].grad_fn
    assert node is not None
    assert node.name() == rule.op
    grads = {GRADIENTS[each.output_nr]: torch.rand_like(each) for each in results}
    expected = torch.autograd.grad(results, list(operands.values()), list(grads.values()), retain_graph=True)
    known = known_to(rule, operands, options, results[0])
    given = {name: each.numpy() for name, each in grads.items()}
    for (name, operand), theirs in zip(operands.items(), expected, strict=True):
        ours = gradient(rule, name, given.get("grad"), {**known, **given}, tuple(operand.shape))
        np.testing.assert_allclose(ours, theirs.numpy(force=True), rtol=1e-7, atol=1e-12)
        if not rule.elementwise:
            for element in range(operand.numel()):
                product = sum(
                    grad.reshape(-1)
                    @ derivatives_of(
                        rule,
                        name,
                        known | {each: np.zeros(other.shape) for each, other in given.items()},
                        grad.shape,
                        tuple(operand.shape),
                        element,
                        GRADIENTS.index(of),
                    )
                    for of, grad in given.items()
                )
                np.testing.assert_allclose(product, ours.reshape(-1)[element], rtol=1e-7, atol=1e-12)
    targets = [getattr(target, "variable", None) for target, _ in node.next_functions if target is not None]
    assert all(target is operand for target, operand in zip(targets, operands.values(), strict=True))


def test_no_option_of_a_rule_has_the_name_of_a_function() -> None:
    for rule in RULES.values():
        assert not set(rule.options) & set(FUNCTIONS), rule.op


def test_there_are_rules_of_at_least_200_kinds_of_nodes() -> None:
    assert len(RULES) >= 200


def test_every_rule_can_be_written_as_mathml() -> None:
    for rule in RULES.values():
        for code in (rule.value, *rule.gradients.values()):
            assert "<math" in latex2mathml.converter.convert(latex(code, {"grad": r"\bar{y}", "self": "x"}))
