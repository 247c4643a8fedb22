"""A custom function that keeps a result without a graph is named where a second derivative fails."""

from __future__ import annotations

import pytest

from ..reported import findings

FUNCTION = """import torch
class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        {keep}
        ctx.save_for_backward(x)
        return x * x * x
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return {formula}
x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
y = Cube.apply(x) + x
(first,) = torch.autograd.grad(y, x, create_graph=True)
"""
SECOND = "(second,) = torch.autograd.grad({root}, x)\nprint(second)\n"
KEEPS = {
    "a product": ("ctx.square = x * x", "3 * ctx.square * g"),
    "a call": ("ctx.square = x.pow(2)", "3 * ctx.square * g"),
    "another name": ("ctx.slope = 3 * x * x", "ctx.slope.mul(g)"),
}


@pytest.mark.parametrize("root", ["first ** 2", "first", "(first - 1).abs()"])
@pytest.mark.parametrize(("keep", "formula"), KEEPS.values(), ids=KEEPS)
def test_the_line_that_keeps_the_result_is_named(keep: str, formula: str, root: str) -> None:
    text = FUNCTION.format(keep=keep, formula=formula) + SECOND.format(root=root)
    (found,) = [finding for finding in findings(text) if finding.severity == "error"]
    assert (found.code, found.line) == ("no-grad-path", 5)
    assert keep.partition(" ")[0] in found.message


def test_the_corrected_function_has_no_finding() -> None:
    text = FUNCTION.format(keep="pass", formula="3 * x * x * g") + SECOND.format(root="first ** 2")
    assert not [finding for finding in findings(text) if finding.severity in ("error", "warning")]


OTHERS = {
    "kept for another purpose": ("ctx.square = x * x", "3 * x.detach() ** 2 * g"),
    "a number kept": ("ctx.factor = 3", "ctx.factor * x.detach() ** 2 * g"),
}


@pytest.mark.parametrize(("keep", "formula"), OTHERS.values(), ids=OTHERS)
def test_a_result_kept_for_another_purpose_is_not_reported(keep: str, formula: str) -> None:
    text = FUNCTION.format(keep=keep, formula=formula) + SECOND.format(root="first ** 2")
    (found,) = [finding for finding in findings(text) if finding.severity == "error"]
    assert "keeps a result" not in found.message
