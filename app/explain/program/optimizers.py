"""Find the optimizers of a program, the modules or tensors they are made from, and their uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from .losses import bindings
from .syntax import Syntax, called


@dataclass(frozen=True)
class Optimizer:
    """An optimizer that the program makes: the name it is bound to, such as ``self.opt``, and the call that makes it."""

    name: str
    target: ast.expr
    made: ast.Call

    @cached_property
    def _sources(self) -> frozenset[str]:
        """The last parts of the names of modules and tensors in the optimizer's first argument."""
        nodes = (node for given in self.made.args[:1] for node in ast.walk(given))
        found = {
            node.attr if isinstance(node, ast.Attribute) else node.id
            for node in nodes
            if isinstance(node, ast.Attribute | ast.Name)
        }
        return frozenset(found - {"parameters", "self", "p", "list", "itertools", "chain"})

    def owns(self, parameter: str) -> bool:
        """Return whether the name of a parameter begins with a module or tensor that the optimizer was made from."""
        return any(part in self._sources for part in parameter.split(".")[: max(1, parameter.count("."))])

    def uses(self, syntax: Syntax) -> list[ast.expr]:
        """Return the expressions that read the optimizer."""
        nodes: list[ast.Name | ast.Attribute] = [*syntax.statements(ast.Name), *syntax.statements(ast.Attribute)]
        return [node for node in nodes if isinstance(node.ctx, ast.Load) and syntax.text(node) == self.name]

    def calls(self, syntax: Syntax, method: str) -> Iterator[ast.Call]:
        """Yield the calls of a method of the optimizer."""
        for call in syntax.statements(ast.Call):
            if called(call) == method and isinstance(call.func, ast.Attribute) and syntax.text(call.func.value) == self.name:
                yield call


def optimizers(syntax: Syntax) -> Iterator[Optimizer]:
    """Yield the optimizers of a program that are bound to a name or an attribute."""
    for target, value in bindings(syntax):
        made = isinstance(value, ast.Call) and is_optimizer(syntax, value)
        if made and isinstance(value, ast.Call) and isinstance(target, ast.Name | ast.Attribute):
            yield Optimizer(syntax.text(target), target, value)


def is_optimizer(syntax: Syntax, call: ast.Call) -> bool:
    """Return whether a call makes an optimizer: a function of ``torch.optim``, but no scheduler."""
    text = syntax.text(call.func)
    return "optim." in text and "lr_scheduler" not in text
