"""Detect when a name, an attribute or an item is rebound from a leaf to a tensor that was computed from the leaf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from ... import wire
from ..emitter import Emitter
from ..forward.calls import Calls
from ..source.lookup import ITEMS, TargetValue, is_reachable, look_up
from ..source.scopes import Scopes
from ..source.statements import LineContext, Statement
from ..source.targets import Access, AssignmentTarget
from ..tensors.references import WeakTensor
from ..tensors.snapshot import grad_fn_of, is_leaf, traits_of
from .gradient_trail import GradientTrail
from .locator import Locator
from .steps import Steps
from .update_phase import UpdatePhase


class GraphIndex(Protocol):
    """Assigns an index to each graph, as :class:`~..backward.graphs.Graphs` does."""

    def graph_of(self, tensor: Tensor) -> int:
        """Return the index of the graph whose root is a tensor's node; -1 if it cannot be emitted."""


class _Substitute(NamedTuple):
    """A tensor that an assignment on ``line`` put in place of a leaf, while the program keeps the leaf elsewhere."""

    tensor: WeakTensor
    name: str
    line: int
    step: int
    parameter: int
    grad_fn: str | None


class Rebinds:
    """Reports rebound names to the steps."""

    def __init__(
        self,
        *,
        emitter: Emitter,
        calls: Calls,
        steps: Steps,
        update: UpdatePhase,
        locator: Locator,
        scopes: Scopes,
        trail: GradientTrail,
        graphs: GraphIndex,
    ) -> None:
        self._emitter = emitter
        self._calls = calls
        self._steps = steps
        self._update = update
        self._parameters = steps.parameters
        self._here = locator.here
        self._scopes = scopes
        self._trail = trail
        self._graphs = graphs
        self._substitutes: dict[int, _Substitute] = {}
        self._lost: set[tuple[str, int]] = set()

    def bound(self, statement: Statement, name: str, parameter: int, value: Any) -> None:
        """Report a statement that is about to rebind the name of a parameter, if a pass of the step has reached its leaf."""
        if not self._takes_part(parameter):
            return
        leaf = self._parameters.leaf(parameter)
        if leaf is None or (value is leaf and statement.kind == "update"):  # the leaf was freed, or only written to in place
            return
        scope, given = self._scopes.of(name)
        before = scope.get(name)
        if before is not leaf:
            self._report_again(statement, before, value)
        if value is leaf or before is not leaf:
            return
        if given and isinstance(value, Tensor) and not self._uses(value, parameter):
            return  # a function may reuse an argument's name for a result
        self._report(statement, name, parameter, value)

    def assigned(self, statement: Statement, target: AssignmentTarget, value: Tensor) -> None:
        """Report a statement that is about to replace an attribute or an item that is a leaf of the step.

        If the program also keeps the leaf elsewhere, the new tensor may be a deliberate look-ahead. It is then reported only
        once the program misses a gradient because of the replacement.
        """
        if not self._steps.current.passes:
            return
        current = look_up(target, value, self._variable)
        if current is None or current.value is value:
            return
        if current.value not in self._parameters:
            self._report_again(statement, current.value, value)
            return
        leaf: Tensor = current.value
        parameter = self._parameters.index(leaf)
        if not self._takes_part(parameter):
            return
        uses = self._uses(value, parameter)
        if not (uses and _is_new_leaf(value)) and is_reachable(leaf, current.holder, self._scopes.values()):
            if uses:
                self._substitute(statement, current.name, parameter, value)
            return
        if value.requires_grad:
            self._calls.name(value, current.name)
        self._report(statement, current.name, parameter, value)

    def replaced(self, statement: Statement, name: str, value: Any) -> None:
        """Report a statement that is about to bind a name to a new list or dict, in which new leaves replace old ones."""
        if not self._steps.current.passes:
            return
        before = self._variable(name)
        if type(before) is not type(value) or before is value or len(before) != len(value):
            return
        for key in value if type(value) is dict else range(min(len(value), ITEMS)):
            new, old = value[key], dict.get(before, key) if type(value) is dict else before[key]
            if isinstance(new, Tensor) and isinstance(old, Tensor) and new is not old and old in self._parameters:
                parameter = self._parameters.index(old)
                if self._takes_part(parameter) and _is_new_leaf(new) and self._uses(new, parameter):
                    current = TargetValue(AssignmentTarget(name, (Access("item", key),)), before, old)
                    self._report(statement, current.name, parameter, new)

    def _takes_part(self, parameter: int) -> bool:
        """Return whether a pass of the current step has reached a parameter."""
        return parameter in self._steps.current.parameters

    def _uses(self, value: Any, parameter: int) -> bool:
        """Return whether a tensor is a new value for a parameter, computed from the parameter's gradient.

        A differentiable result computed from a gradient of ``autograd.grad`` is a step of an inner loop, not a new value.
        """
        sources = self._trail.sources(value)
        return parameter in sources or (~parameter in sources and (is_leaf(value) or not value.requires_grad))

    def _report_again(self, statement: Statement, before: Any, value: Any) -> None:
        parameters = self._trail.sources(value)
        if parameters and isinstance(before, Tensor) and _is_new_leaf(value):
            own = frozenset(max(each, ~each) for each in parameters)
            self._update.rebound_again(before, value, own, self._here_at(statement))

    def _variable(self, name: str) -> Any:
        return self._scopes.of(name)[0].get(name)

    def _report(self, statement: Statement, name: str, parameter: int, value: Any) -> None:
        row: wire.RebindRow | None = None
        tensor = value if isinstance(value, Tensor) else None
        if tensor is not None:
            uses, made = self._uses(tensor, parameter), grad_fn_of(tensor) is not None
            leaf = self._parameters.leaf(parameter)
            if uses or (leaf is not None and tensor.shape == leaf.shape and made):
                graph = self._graphs.graph_of(tensor) if made else -1
                row = wire.RebindRow(name, statement.line, parameter, -1, graph, uses, _is_new_leaf(tensor))
        self._update.rebound(row, tensor, self._here_at(statement))

    def _here_at(self, statement: Statement) -> LineContext:
        here = self._here()
        return LineContext(statement.line, here.heads, here.loops)

    # ------------------------------------------------------------------ substitutes for a leaf that is kept elsewhere

    def _substitute(self, statement: Statement, name: str, parameter: int, value: Tensor) -> None:
        key, forget = id(value), self._substitutes.pop
        reference = WeakTensor(value, lambda _: forget(key, None))
        grad_fn = traits_of(value).grad_fn
        self._substitutes[key] = _Substitute(reference, name, statement.line, self._steps.index, parameter, grad_fn)

    def missed(self, tensor: Tensor) -> None:
        """Report a tensor if it is a substitute. The program has read its ``.grad``, which is ``None``."""
        substitute = self._substitutes.get(id(tensor))
        if substitute is not None and substitute.tensor.get() is tensor:
            self._report_lost(substitute)

    def reached_nothing(self, roots: Sequence[Any]) -> None:
        """Report the substitutes of each parameter from whose gradient one of ``roots`` was computed. No root has a node."""
        for substitute in list(self._substitutes.values()):
            if any(self._uses(root, substitute.parameter) for root in roots):
                self._report_lost(substitute)

    def _report_lost(self, substitute: _Substitute) -> None:
        if (substitute.name, substitute.line) not in self._lost:
            self._lost.add((substitute.name, substitute.line))
            self._emitter.emit(
                wire.LeafRebound(
                    line=substitute.line,
                    step=substitute.step,
                    parameter=substitute.parameter,
                    name=substitute.name[: wire.NAME_LENGTH],
                    grad_fn=substitute.grad_fn[: wire.NAME_LENGTH] if substitute.grad_fn is not None else None,
                )
            )


def _is_new_leaf(value: Tensor) -> bool:
    """Return whether a tensor is a leaf that requires a gradient."""
    return is_leaf(value) and value.requires_grad
