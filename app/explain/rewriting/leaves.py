"""Find tensors that were meant to be leaves but are computed from a leaf, and rewrite their assignments."""

from __future__ import annotations

import ast
from typing import Final

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from ..program.updates import by_gradient, updates

_MODULES: Final = frozenset({"torch", "nn", "np", "numpy", "math", "random", "F", "init"})
"""Names that are modules and never tensors."""


def meant_as_leaf(syntax: Syntax, name: str, statement: ast.stmt | None) -> bool:
    """Return whether a computed tensor was meant to be a leaf: it is trained, or computed from a new leaf.

    ``name`` may also be an attribute such as ``net.w``, or an item such as ``weights[0]``.
    """
    if made_from_leaf(statement) is not None or is_trained(syntax, name):
        return True
    attribute, _, index = name.rpartition(".")[2].partition("[")
    if index:
        return is_trained(syntax, attribute)
    return any(
        isinstance(target, ast.Attribute) and target.attr == attribute and made_from_leaf(each) is not None
        for each in syntax.statements(ast.Assign)
        for target in each.targets
    )


def made_from_leaf(statement: ast.stmt | None) -> ast.Call | None:
    """Return the only call in an assigned value that makes a leaf, if the value is computed from that leaf.

    The call has ``requires_grad=True``, is ``requires_grad_()``, or makes an ``nn.Parameter``.
    """
    if not isinstance(statement, ast.Assign):
        return None
    found = [node for node in ast.walk(statement.value) if isinstance(node, ast.Call) and _makes_leaf(node)]
    return found[0] if len(found) == 1 and found[0] is not statement.value else None


def is_trained(syntax: Syntax, name: str) -> bool:
    """Return whether a name is given to an optimizer, written to by hand, or assigned a value computed from its gradient."""
    return bool(_by_hand(syntax, name)) or any(
        isinstance(each, ast.Name) and each.id == name
        for call in syntax.statements(ast.Call)
        if "optim" in syntax.text(call.func)
        for argument in call.args[:1]
        for each in ast.walk(argument)
    )


def as_leaf(recording: Recording, syntax: Syntax, name: str, statement: ast.stmt | None) -> model.Fix | None:
    """Return the fix that computes first and makes the result a leaf: ``(torch.ones(2) * 0.1).requires_grad_()``.

    The fix is offered only where the program then trains the leaf without a further change.
    """
    call = made_from_leaf(statement)
    if call is None or not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    value, text = statement.value, syntax.text
    if len(syntax.assigned(name)) != 1 or syntax.in_no_grad(statement) or text(value).count(text(call)) != 1:
        return None
    if not _trains(syntax, name) or not _without_gradient(recording, syntax, value, call):
        return None
    inner = _plain(syntax, call)
    computed = text(value).replace(text(call), inner)
    if _is_parameter(call):
        new = f"{text(call.func)}({computed})"
    else:
        simple = isinstance(value, ast.Call | ast.Attribute | ast.Subscript)
        new = f"{computed if simple else f'({computed})'}.requires_grad_()"
    return model.Fix(f"Compute first, then make `{name}` a leaf", [model.Edit(*syntax.span(value), new)])


def _by_hand(syntax: Syntax, name: str) -> list[ast.stmt]:
    """Return the statements that change a name by its gradient: in place, or by an assignment."""
    found = [each.statement for each in updates(syntax, range(1, len(syntax.lines) + 1)) if syntax.text(each.target) == name]
    found += [
        node
        for node in syntax.statements(ast.Assign)
        if any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    ]
    return [each for each in found if by_gradient(syntax, each)]


def _trains(syntax: Syntax, name: str) -> bool:
    """Return whether updates of a leaf by hand run with gradients off or through ``.data``, and loops clear its gradient."""
    found = _by_hand(syntax, name)
    through_data = [each.statement for each in updates(syntax, range(1, len(syntax.lines) + 1)) if each.through_data]
    if not all(syntax.in_no_grad(each) or each in through_data for each in found):
        return False
    if found and any(map(syntax.in_loop, found)):
        return name in syntax.cleared or syntax.calls("zero_grad")
    return True


def _without_gradient(recording: Recording, syntax: Syntax, value: ast.expr, call: ast.Call) -> bool:
    """Return whether everything else that a value is computed from is a number, or a tensor without a gradient."""
    plain = {
        row.line for row in recording.lines() if row.file is None and row.tensor is not None and not row.tensor.requires_grad
    }
    inside = set(ast.walk(call))
    for node in ast.walk(value):
        if isinstance(node, ast.Name) and node not in inside and node.id not in _MODULES:
            given = syntax.assigned(node.id)
            if not given or not all(isinstance(each, ast.Constant) or each.lineno in plain for each in given):
                return False
    return True


def _plain(syntax: Syntax, call: ast.Call) -> str:
    """Return the text of a call that makes a leaf, rewritten to make a tensor without a gradient."""
    if _is_parameter(call):
        return syntax.operand(call.args[0])
    if isinstance(call.func, ast.Attribute) and call.func.attr == "requires_grad_":
        return syntax.operand(call.func.value)
    kept = [syntax.text(each) for each in call.args]
    kept += [
        f"{keyword.arg}={syntax.text(keyword.value)}" if keyword.arg else f"**{syntax.text(keyword.value)}"
        for keyword in call.keywords
        if not _required(keyword)
    ]
    return f"{syntax.text(call.func)}({', '.join(kept)})"


def _makes_leaf(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Attribute) and call.func.attr == "requires_grad_" and not call.args and not call.keywords:
        return True
    return _is_parameter(call) or any(map(_required, call.keywords))


def _is_parameter(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name == "Parameter" and len(call.args) == 1 and not call.keywords


def _required(keyword: ast.keyword) -> bool:
    return keyword.arg == "requires_grad" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
