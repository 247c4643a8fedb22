"""The data of a step is gathered without a running program."""

from __future__ import annotations

from typing import Final

import torch
from tapedeck import wire
from tapedeck.tracer.emitter import Emitter
from tapedeck.tracer.source.names import Names
from tapedeck.tracer.source.statements import LineContext
from tapedeck.tracer.tensors.memory import Write
from tapedeck.tracer.tensors.table import TableBuilder
from tapedeck.tracer.training.facts import PassFacts
from tapedeck.tracer.training.late_gradients import LateGradients
from tapedeck.tracer.training.open_step import OpenStep
from tapedeck.tracer.training.optimizer_groups import KnownOptimizers
from tapedeck.tracer.training.parameter_changes import Contribution
from tapedeck.tracer.training.parameters import Parameters

HERE: Final = LineContext(3, (), ())


def step_of(*leaves: torch.Tensor) -> OpenStep:
    """Return a step with one pass, which has reached the leaves: parameters 0, 1 and so on."""
    parameters = Parameters(Emitter(lambda frame: None), Names({}), LateGradients())
    step = OpenStep(TableBuilder(64, "full"), parameters)
    reached = {parameters.add(leaf): leaf for leaf in leaves}
    step.begin_pass(PassFacts(0, "backward", HERE, reached, accumulates=True, root=None, first_number=0))
    return step


def leaf(*elements: float) -> torch.Tensor:
    return torch.tensor(elements, requires_grad=True)


def test_a_contribution_keeps_its_elements_if_the_program_writes_to_the_gradient() -> None:
    w = leaf(1.0, 2.0)
    step = step_of(w)
    w.grad = torch.tensor([3.0, 4.0])
    step.end_pass(step.passes[0], {0: Contribution(w.grad, w.grad, whole=True, stolen=True)}, frozenset({1, 2}), 2)
    step.copy_borrowed(Write((w.grad,)))
    w.grad.zero_()
    assert step.parameters[0].contribution is not None
    assert step.parameters[0].contribution.tolist() == [3.0, 4.0]
    assert (step.forward, step.backward, step.loss_line) == ({1, 2}, {3}, {0: 2})


def test_a_new_leaf_replaces_a_parameter_if_it_was_computed_from_its_gradient_and_bound_to_its_name() -> None:
    for uses_gradient, expected in ((True, 0), (False, None)):
        w, new = leaf(1.0), leaf(0.9)
        step = step_of(w)
        step.rebound(wire.RebindRow("w", 4, 0, -1, -1, uses_gradient, True), new)
        assert step.replaced_by(leaf(0.9)) is None
        assert step.replaced_by(new) == expected
        assert (step.registered.leaf(0) is new) == uses_gradient


def test_an_optimizer_takes_part_in_a_step_only_if_it_has_a_parameter_that_a_pass_has_reached() -> None:
    w, other = leaf(1.0), leaf(2.0)
    step = step_of(w)
    idle = step.registered.add(other)
    assert not step.optimized(torch.optim.SGD([other], lr=0.1), [idle])
    assert step.groups == []
    assert step.optimized(torch.optim.SGD([w, other], lr=0.1), [0, idle])
    assert [(group.optimizer, group.parameters, group.options["lr"]) for group in step.groups] == [("SGD", [0], 0.1)]


def test_an_optimizer_is_known_while_the_program_keeps_it() -> None:
    w, other = leaf(1.0), leaf(2.0)
    step = step_of(w, other)
    known = KnownOptimizers(step.registered)
    optimizer = torch.optim.SGD([w], lr=0.1)
    known.made.add(optimizer)
    assert (known.have_any([0]), known.have_any([1]), known.have_any([1, 0])) == (True, False, True)
    del optimizer
    assert not known.have_any([0])


def test_a_parameter_is_not_read_again_for_a_write_to_memory_that_it_has_left() -> None:
    w = leaf(1.0, 2.0)
    step = step_of(w)
    left = w.data.clone()
    w.data = left
    step.registered.moved(0)
    w.data = torch.tensor([3.0, 4.0])
    step.registered.moved(0)
    value = step.registered.value(0, step.table)
    step.registered.forget_values({left.untyped_storage().data_ptr()})
    assert step.registered.value(0, step.table) is value
    step.registered.forget_values({w.untyped_storage().data_ptr()})
    assert step.registered.value(0, step.table) is not value
