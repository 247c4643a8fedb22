"""Evaluate a loss at the leaf values where its gradients are known, and at other values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from ..backward.passes import OpenPass
from ..tensors.handles import equal_elements
from .evaluate import CallMaker
from .operands import CannotReplay
from .tape import Tape


class Section(Protocol):
    """Calls that compute roots from leaves, and can be made again with other leaf values."""

    def evaluate(self, values: Mapping[int, Tensor], *, wide: bool = False, calling: CallMaker | None = None) -> list[Tensor]:
        """Return the roots for ``values``, which are leaf values by the ids of the leaves. ``wide`` computes in float64."""

    def definitions(self) -> Set[str]:
        """Return the names of the definitions that apply to the calls (see :mod:`.definitions`)."""


class Point:
    """Roots with the calls that computed them, the leaves that the calls read, and the leaves' gradients.

    ``parameters`` are the leaves that have gradients, and ``gradients`` are their gradients, both by the parameter's index.
    ``given`` are the gradients of the roots. ``leaf_values`` has the earlier values of leaves that have changed since, by
    the leaves' ids.
    """

    def __init__(
        self,
        section: Section,
        roots: Sequence[Tensor],
        leaves: Sequence[Tensor],
        *,
        parameters: Mapping[int, Tensor],
        gradients: Mapping[int, Tensor | None],
        given: Sequence[Tensor],
        leaf_values: Mapping[int, Tensor],
    ) -> None:
        self.section = section
        self.roots = roots
        self.leaves = leaves
        self.parameters = parameters
        self.gradients = gradients
        self.given = given
        self._leaf_values = leaf_values
        self.recorded_loss = self._objective(roots)

    def stand_ins(self) -> dict[int, Tensor]:
        """Return a writable copy of each leaf at its recorded value, by the leaf's id."""
        return {id(leaf): self._leaf_values.get(id(leaf), leaf).detach().clone() for leaf in self.leaves}

    def loss(self, stand_ins: dict[int, Tensor], *, wide: bool = False, calling: CallMaker | None = None) -> float:
        """Return the loss for these leaf values.

        Unless the only root is a scalar and its gradient is 1, the loss is the sum of the products of the roots with the
        gradients that the pass started from.
        """
        for stand_in in stand_ins.values():
            stand_in.requires_grad_()
        return self._objective(self.section.evaluate(stand_ins, wide=wide, calling=calling))

    def slopes(
        self, stand_ins: dict[int, Tensor], roots: Sequence[Tensor] | None = None, *, wide: bool = False
    ) -> dict[int, Tensor | None]:
        """Return the gradients for these leaf values, by parameter, for each parameter with a gradient in :attr:`gradients`."""
        leaves = {
            parameter: stand_ins[id(leaf)]
            for parameter, leaf in self.parameters.items()
            if id(leaf) in stand_ins and self.gradients.get(parameter) is not None
        }
        if not leaves:
            return {}
        if roots is None:
            roots = self.section.evaluate({key: leaf.requires_grad_() for key, leaf in stand_ins.items()}, wide=wide)
        given = [gradient.to(root.dtype) for gradient, root in zip(self.given, roots, strict=True)]
        gradients = torch.autograd.grad(roots, list(leaves.values()), given, allow_unused=True)
        return dict(zip(leaves, gradients, strict=True))

    def _objective(self, roots: Sequence[Tensor]) -> float:
        if len(roots) == 1 and roots[0].numel() == 1 and bool((self.given[0] == 1).all()):
            value = roots[0].item()
        else:
            value = sum(
                (root.detach().double() * given.double()).sum().item() for root, given in zip(roots, self.given, strict=True)
            )
        if isinstance(value, complex):
            raise CannotReplay("its loss is complex")
        return float(value)


class RecordedPoint(Point):
    """A recorded pass with its leaves, its roots, its gradients and the calls in between.

    ``leaf_values`` are the values at the start of the pass, by the leaves' ids.
    """

    def __init__(self, begun: OpenPass, result: Any, tape: Tape, leaf_values: Mapping[int, Tensor]) -> None:
        roots = begun.outputs
        if not all(isinstance(root, Tensor) for root in roots):
            raise CannotReplay("it starts at an edge of the graph instead of a tensor")
        if any(torch._C._functorch.is_functorch_wrapped_tensor(root) for root in roots):
            raise CannotReplay("it computes inside a transform of torch.func")
        self.begun = begun
        self._calls = tape.leading_to(roots)
        super().__init__(
            self._calls,
            roots,
            self._calls.leaves(),
            parameters=begun.facts.leaves,
            gradients=begun.gradients(result),
            given=[
                gradient if gradient is not None else torch.ones_like(root)
                for root, gradient in zip(roots, _padded(begun), strict=False)
            ],
            leaf_values=leaf_values,
        )

    def own_functions(self) -> list[str]:
        """Return the class names of the program's own functions in the pass."""
        return [kind.__name__ for kind in own_kinds(self.begun.walk.nodes)]

    def prove(self) -> None:
        """Raise :class:`CannotReplay` unless an evaluation at the recorded values gives the recorded roots and gradients."""
        stand_ins = {key: leaf.requires_grad_() for key, leaf in self.stand_ins().items()}
        roots = self.section.evaluate(stand_ins)
        for root, again in zip(self.roots, roots, strict=True):
            if not equal_elements(root.detach(), again.detach()):
                raise CannotReplay(
                    f"with the recorded values its calls give a loss of {self._objective(roots):.9g}, but "
                    f"{self.recorded_loss:.9g} was recorded, so something other than PyTorch calls takes part in it"
                )
        for parameter, gradient in self.slopes(stand_ins, roots).items():
            recorded = self.gradients[parameter]
            if gradient is None or recorded is None or not equal_elements(recorded.detach(), gradient):
                raise CannotReplay(
                    "with the recorded values, its calls give a different gradient: a hook changed the recorded gradient"
                )

    def restored_generators(self) -> AbstractContextManager[None]:
        """When the context ends, restore the states of the random generators that the calls use."""
        return self._calls.restored_generators()


def own_kinds(nodes: Iterable[Any]) -> list[Any]:
    """Return the type of each node of a custom function that is not PyTorch's own, each type once."""
    kinds = dict.fromkeys(type(node) for node in nodes if hasattr(type(node), "saved_tensors"))
    return [kind for kind in kinds if not kind._forward_cls.__module__.startswith("torch.")]


def _padded(begun: OpenPass) -> list[Tensor | None]:
    return [*begun.given, *[None] * (len(begun.outputs) - len(begun.given))]
