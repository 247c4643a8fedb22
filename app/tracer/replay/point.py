"""Stand where a pass stood, and evaluate its loss there and elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..backward.passes import OpenPass
from ..tensors.handles import equal_elements
from .definitions import DefinedFunctions
from .evaluate import TapeSection
from .operands import CannotReplay
from .tape import Tape


class RecordedPoint:
    """Where a pass stood: its leaves, its roots, the gradients that were recorded there, and the calls in between.

    ``found`` has the values that leaves had when it began, by their ids.
    """

    def __init__(self, begun: OpenPass, result: Any, tape: Tape, found: Mapping[int, Tensor]) -> None:
        roots = begun.outputs
        if not all(isinstance(root, Tensor) for root in roots):
            raise CannotReplay("the pass begins at an edge and not at a tensor")
        if any(torch._C._functorch.is_functorch_wrapped_tensor(root) for root in roots):
            raise CannotReplay("it computes inside a transform of torch.func")
        self.begun = begun
        self._found = found
        self.roots: tuple[Tensor, ...] = roots
        self.section: TapeSection = tape.leading_to(roots)
        self.leaves = self.section.leaves()
        self.gradients = begun.gradients(result)
        self.given = [
            gradient if gradient is not None else torch.ones_like(root)
            for root, gradient in zip(roots, _padded(begun), strict=False)
        ]
        self.recorded = self._objective(roots)

    def own_functions(self) -> list[str]:
        """The classes of the program's own functions that the pass went through."""
        kinds = dict.fromkeys(type(node) for node in self.begun.walk.nodes if hasattr(type(node), "saved_tensors"))
        return [kind.__name__ for kind in kinds if not kind._forward_cls.__module__.startswith("torch.")]

    def stand_ins(self) -> dict[int, Tensor]:
        """A copy of each leaf, to be written to, by the leaf's id."""
        return {id(leaf): self._found.get(id(leaf), leaf).detach().clone() for leaf in self.leaves}

    def loss(self, stand_ins: dict[int, Tensor], *, wide: bool = False, defined: DefinedFunctions | None = None) -> float:
        """The loss for these leaves (for a root that is no scalar, its product with the gradient that the pass began with)."""
        for stand_in in stand_ins.values():
            stand_in.requires_grad_()
        return self._objective(self.section.evaluate(stand_ins, wide=wide, defined=defined))

    def prove(self) -> None:
        """Evaluate at the recorded point: raises :class:`CannotReplay` unless loss and gradients are what was recorded."""
        stand_ins = {key: leaf.requires_grad_() for key, leaf in self.stand_ins().items()}
        roots = self.section.evaluate(stand_ins)
        for root, found in zip(self.roots, roots, strict=True):
            if not equal_elements(root.detach(), found.detach()):
                raise CannotReplay(
                    f"at the recorded point its calls come to {self._objective(roots):.9g}, and what was recorded is "
                    f"{self.recorded:.9g}: something else than calls into torch has a part in it"
                )
        for parameter, gradient in self.slopes(stand_ins, roots).items():
            recorded = self.gradients[parameter]
            if gradient is None or recorded is None or not equal_elements(recorded.detach(), gradient):
                raise CannotReplay(
                    "at the recorded point its calls give another gradient than was recorded: a hook changed that"
                )

    def slopes(
        self, stand_ins: dict[int, Tensor], roots: Sequence[Tensor] | None = None, *, wide: bool = False
    ) -> dict[int, Tensor | None]:
        """The gradients that torch gives for these leaves, of the parameters that the pass gave one."""
        leaves = {
            parameter: stand_ins[id(leaf)]
            for parameter, leaf in self.begun.facts.leaves.items()
            if id(leaf) in stand_ins and self.gradients.get(parameter) is not None
        }
        if not leaves:
            return {}
        if roots is None:
            roots = self.section.evaluate({key: leaf.requires_grad_() for key, leaf in stand_ins.items()}, wide=wide)
        given = [gradient.to(root.dtype) for gradient, root in zip(self.given, roots, strict=True)]
        found = torch.autograd.grad(roots, list(leaves.values()), given, allow_unused=True)
        return dict(zip(leaves, found, strict=True))

    @contextlib.contextmanager
    def restored_generators(self) -> Iterator[None]:
        """Give the program's own generators the states back that they have."""
        states = [(generator, generator.get_state()) for generator in self.section.generators()]
        try:
            yield
        finally:
            for generator, state in states:
                generator.set_state(state)

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


def _padded(begun: OpenPass) -> list[Tensor | None]:
    return [*begun.given, *[None] * (len(begun.outputs) - len(begun.given))]
