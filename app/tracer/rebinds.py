"""Notice when a name moves from a leaf to a tensor that was computed from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .. import wire
from .scopes import Scopes
from .snapshot import is_leaf, origin
from .source import Here, Statement
from .steps import Steps


class Rebinds:
    """Tells the steps which names move away from leaves."""

    def __init__(
        self,
        *,
        steps: Steps,
        here: Callable[[], Here],
        scopes: Scopes,
        followed: Callable[[Any], frozenset[int]],
        graph_of: Callable[[Tensor], int],
    ) -> None:
        self._steps = steps
        self._here = here
        self._scopes = scopes
        self._followed = followed
        self._graph_of = graph_of

    def bound(self, statement: Statement, name: str, parameter: int, value: Any) -> None:
        """A statement is about to bind the name of a parameter: tell if that takes it from a leaf that took part."""
        if not self._steps.takes_part(parameter):
            return
        leaf = self._steps.leaf(parameter)
        scope, given = self._scopes.of(name)
        before = scope.get(name)
        if before is not leaf:
            self._again(statement, before, value)
        if value is leaf or before is not leaf:
            return
        if given and isinstance(value, Tensor) and parameter not in self._followed(value):
            return  # a function may call what it makes of its argument by the argument's name
        self._tell(statement, name, parameter, value)

    def _again(self, statement: Statement, before: Any, value: Any) -> None:
        parameters = self._followed(value)
        if parameters and isinstance(before, Tensor) and _is_new_leaf(value):
            self._steps.rebound_again(before, value, parameters, self._here_at(statement))

    def _tell(self, statement: Statement, name: str, parameter: int, value: Any) -> None:
        row: wire.RebindRow | None = None
        tensor = value if isinstance(value, Tensor) else None
        if tensor is not None:
            uses, made = parameter in self._followed(tensor), origin(tensor) is not None
            if uses or (tensor.shape == self._steps.leaf(parameter).shape and made):
                graph = self._graph_of(tensor) if made else -1
                row = wire.RebindRow(name, statement.line, parameter, -1, graph, uses, _is_new_leaf(tensor))
        self._steps.rebound(row, tensor, self._here_at(statement))

    def _here_at(self, statement: Statement) -> Here:
        here = self._here()
        return Here(statement.line, here.heads, here.loops)


def _is_new_leaf(value: Tensor) -> bool:
    """Whether a tensor is a leaf itself, so that a name that moves to it still names one."""
    return is_leaf(value) and value.requires_grad
