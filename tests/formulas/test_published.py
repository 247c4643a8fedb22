"""The definitions of the installed PyTorch are found by the class of a node."""

from __future__ import annotations

import torch
from tapedeck.formulas import RULES
from tapedeck.formulas.published import published


def test_a_node_without_a_rule_has_the_definition_of_pytorch() -> None:
    x = torch.rand(1, 1, 4, 4, requires_grad=True)
    node = torch.nn.functional.pixel_unshuffle(x, 2).grad_fn
    assert node is not None
    assert node.name() not in RULES
    assert published()[node.name()].gradients["self"].startswith("pixel_shuffle(grad, ")


def test_definitions_are_numbered_like_the_nodes() -> None:
    x, y = torch.rand(3, requires_grad=True), torch.rand(3, requires_grad=True)
    made = {"pow(Tensor self": (x**2, x**y), "mean(Tensor self": (x.mean(),), "clamp(Tensor self": (x.clamp(0, 1),)}
    for start, results in made.items():
        assert all(published()[result.grad_fn.name()].signature.startswith(start) for result in results if result.grad_fn)


def test_every_rule_has_the_operands_of_the_definition() -> None:
    known = published()
    for op, rule in RULES.items():
        if op == "SafeSoftmaxBackward0":
            continue  # PyTorch generates it from no definition
        theirs = {name for names in known[op].gradients for name in names.replace(" ", "").split(",")}
        assert set(rule.gradients) <= theirs, op
