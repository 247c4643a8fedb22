"""Find a clip of gradients of a network that the next update does not change, and that are cleared before they are used."""

from __future__ import annotations

import ast

from .blocks import block_of, calls_in
from .optimizers import optimizers
from .syntax import Syntax, called


def of_other_network(syntax: Syntax, call: ast.Call) -> tuple[str, str] | None:
    """Return the message and the reason for a clip whose network's gradients are cleared before its optimizer uses them.

    The update that follows the clip is that of another optimizer.
    """
    statement = syntax.statement_of(call)
    match call:
        case ast.Call(args=[ast.Call(func=ast.Attribute(attr="parameters", value=network)), *_]) if isinstance(
            network, ast.Name | ast.Attribute
        ):
            owner = syntax.text(network)
        case _:
            return None
    known = list(optimizers(syntax))
    own = [each for each in known if each.owns(f"{owner.rpartition('.')[2]}.weight")]
    if len(own) != 1 or len(known) < 2 or not isinstance(statement, ast.Expr) or statement.value is not call:
        return None
    block = block_of(syntax, statement)
    index = block.index(statement)
    turn = block[index + 1 :] + (block[:index] if isinstance(syntax.parent(statement), ast.For | ast.While) else [])
    functions = {function.name for function in syntax.statements(ast.FunctionDef)}
    other: tuple[str, int] | None = None
    for each in turn:
        if _clears(syntax, each, own[0].name, owner):
            if other is None:
                return None
            message = f"Line {call.lineno} clips the gradients of `{owner}`, but line {other[1]} updates with `{other[0]}`."
            return message, (
                f"Line {each.lineno} clears the clipped gradients before `{own[0].name}.step()` uses them. Clip the parameters "
                f"that `{other[0]}` updates."
            )
        if calls_in([each]) & functions or own[0].name in _updated_by(syntax, each):
            return None
        stepped = [optimizer.name for optimizer in known if optimizer.name in _updated_by(syntax, each)]
        if other is None and stepped:
            other = stepped[0], each.lineno
    return None


def _clears(syntax: Syntax, statement: ast.stmt, *owners: str) -> bool:
    """Return whether a statement is a call of ``zero_grad`` of one of these optimizers or modules."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="zero_grad", value=owner))):
            return syntax.text(owner) in owners
    return False


def _updated_by(syntax: Syntax, statement: ast.stmt) -> set[str]:
    """Return the expressions whose ``step`` a statement calls, and the arguments of these calls, as with a scaler."""
    calls = (node for node in ast.walk(statement) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute))
    stepping = [call for call in calls if called(call) == "step"]
    arguments = {syntax.text(argument) for call in stepping for argument in call.args}
    return arguments | {syntax.text(call.func.value) for call in stepping if isinstance(call.func, ast.Attribute)}
