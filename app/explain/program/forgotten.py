"""Find parameters outside of networks that an optimizer did not get: single tensors, and those of a loss function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .losses import bindings
from .modules import module_classes
from .optimizers import Optimizer, optimizers
from .syntax import Syntax, called

_DERIVATIVES: Final = frozenset({"grad", "jacobian", "hessian", "vjp", "jvp", "hvp", "vhp", "gradcheck", "register_hook"})
"""Functions that use a gradient of their arguments, or of the tensor that they belong to."""
_CONSTANT: Final = frozenset({"zeros", "ones", "full", "eye"})
"""Functions that make a tensor in which nothing distinguishes the elements, or rows."""
_OF_LOSS: Final = ("crit", "loss")
"""Beginnings of words in names of loss functions."""


@dataclass(frozen=True)
class Forgotten:
    """A parameter that line ``made`` did not give to the optimizer. ``line`` is the line to report."""

    name: str
    line: int
    made: int
    remedy: str


def forgotten(syntax: Syntax, names: Sequence[str], held: set[str]) -> Iterator[Forgotten]:
    """Yield the parameters among ``names`` that the program made to be trained, but gave to no optimizer.

    These are an ``nn.Parameter`` outside of a module, a tensor that begins with equal elements and is not an input, a tensor
    such as ``b2`` beside ``b1``, which an optimizer changes, and an ``nn.Parameter`` of a loss function. All ``names`` get
    gradients that no update uses, and ``held`` are the names of parameters that an optimizer changes. Yield none if the
    program reads a ``.grad`` itself.
    """
    found = list(optimizers(syntax)) if names else []
    if not found or _reads_gradients(syntax):
        return
    used = _differentiated(syntax)
    classes = module_classes(syntax)
    optimizer = _of(found, held)
    if optimizer is None:
        return
    for target, value in bindings(syntax):
        name = syntax.text(target)
        if isinstance(target, ast.Name) and name in names and name not in used and len(syntax.assigned(name)) <= 1:
            beside = any(_stem(each) == _stem(name) for each in held if "." not in each)
            learned = beside or (_is_constant(value) and not _is_input(syntax, name))
            if _is_parameter(value) or (learned and _requires_grad(value)):
                yield Forgotten(name, target.lineno, optimizer.made.lineno, f"Add `{name}` to the parameters of the optimizer.")
        elif _is_parameter(value) and isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            owner = _class_of(syntax, target)
            full = next((each for each in names if each.count(".") == 1 and each.endswith(f".{target.attr}")), None)
            if owner is None or full is None or full in used:
                continue
            root = full.partition(".")[0]
            if owner.name not in classes:
                remedy = f"Add `{syntax.text(target)}` to the parameters of the optimizer."
                yield Forgotten(full, target.lineno, optimizer.made.lineno, remedy)
            elif any(word.startswith(_OF_LOSS) for word in re.split(r"_|(?<=[a-z])(?=[A-Z])", root.lower())):
                remedy = f"Give the optimizer `{root}.parameters()` too."
                yield Forgotten(full, optimizer.made.lineno, optimizer.made.lineno, remedy)


def _of(found: list[Optimizer], held: set[str]) -> Optimizer | None:
    """Return the last optimizer that changes any of its parameters."""
    return next((each for each in reversed(found) if any(each.owns(name) for name in held)), found[-1] if found else None)


def _reads_gradients(syntax: Syntax) -> bool:
    """Return whether the program reads a ``.grad``, other than to clear it."""
    for node in syntax.statements(ast.Attribute):
        if node.attr == "grad" and isinstance(node.ctx, ast.Load) and not syntax.text(node.value).endswith("autograd"):
            parent = syntax.parent(node)
            if not (isinstance(parent, ast.Attribute) and parent.attr == "zero_"):
                return True
    return False


def _differentiated(syntax: Syntax) -> set[str]:
    """Return the names that the program passes to a function that computes derivatives."""
    calls = (call for call in syntax.statements(ast.Call) if called(call) in _DERIVATIVES)
    nodes = (node for call in calls for node in ast.walk(call) if isinstance(node, ast.Name | ast.Attribute))
    return {syntax.text(node) for node in nodes}


def _is_parameter(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and called(value) == "Parameter" and not _frozen(value)


def _requires_grad(value: ast.expr) -> bool:
    """Return whether an expression makes a tensor that requires a gradient."""
    match value:
        case ast.Call(func=ast.Attribute(attr="requires_grad_")):
            return True
        case ast.Call(keywords=keywords):
            return any(each.arg == "requires_grad" and getattr(each.value, "value", None) is True for each in keywords)
    return False


def _is_constant(value: ast.expr) -> bool:
    """Return whether an expression makes a tensor of equal elements, as weights begin and inputs do not."""
    match value:
        case ast.Call(func=ast.Attribute(attr="requires_grad_", value=inner)):
            return _is_constant(inner)
        case ast.Call(args=[ast.Constant()]) if called(value) == "tensor":
            return True
    return isinstance(value, ast.Call) and called(value) in _CONSTANT


def _is_input(syntax: Syntax, name: str) -> bool:
    """Return whether the program calls one of its own functions or modules with a tensor itself, as with an input."""
    calls = (call for call in syntax.statements(ast.Call) if isinstance(call.func, ast.Name))
    return any(isinstance(each, ast.Name) and each.id == name for call in calls for each in call.args)


def _frozen(value: ast.Call) -> bool:
    return any(each.arg == "requires_grad" for each in value.keywords)


def _stem(name: str) -> str:
    """Return a name without the number at its end.

    >>> _stem("b2"), _stem("w_out")
    ('b', 'w_out')
    """
    return name.rstrip("0123456789_").lower()


def _class_of(syntax: Syntax, node: ast.AST) -> ast.ClassDef | None:
    function = syntax.function_of(node)
    parent = syntax.parent(function) if function is not None else None
    return parent if isinstance(parent, ast.ClassDef) else None
