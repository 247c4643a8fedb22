"""Rewrite an in-place statement so that it makes a new tensor, if that does not change the rest of the program."""

from __future__ import annotations

import ast
from typing import Final

from ... import model
from ..program.syntax import Syntax

SIGNS: Final[dict[type[ast.operator], str]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@",
}  # fmt: skip
METHODS: Final = frozenset({
    "add_", "sub_", "mul_", "div_", "pow_", "exp_", "log_", "sqrt_", "abs_", "neg_", "sigmoid_", "tanh_", "relu_", "clamp_",
    "clamp_min_", "clamp_max_", "masked_fill_", "sin_", "cos_", "square_", "addcmul_", "addcdiv_", "lerp_",
})  # fmt: skip
"""In-place methods that compute the same as the method without ``_``."""
MOST_SHARED: Final = 100
"""Largest number of names that one fix may check with :func:`shared`, which searches the whole program each time."""
VIEWS: Final = frozenset({
    "view", "view_as", "reshape", "expand", "expand_as", "t", "transpose", "permute", "squeeze", "unsqueeze", "flatten",
    "narrow", "select", "chunk", "split", "unbind", "detach", "diagonal", "as_strided", "contiguous", "to", "float", "double",
    "ravel", "unfold", "movedim", "swapaxes", "get", "pop", "setdefault", "requires_grad_", "broadcast_to",
})  # fmt: skip
"""Methods whose result may share memory with the tensor that they are called on, or with a tensor of a container."""
_KEEPING: Final = frozenset(
    {"append", "insert", "extend", "add", "setdefault", "update", "register_buffer", "register_parameter"}
)
"""Methods of containers that keep their arguments."""


def out_of_place(syntax: Syntax, statement: ast.stmt | None, *, view: bool = False) -> model.Fix | None:
    """Return the fix that writes ``y += 1`` as ``y = y + 1``, and ``y.add_(1)`` as ``y = y.add(1)``.

    The fix is offered only where no other name, container or caller shares the memory of ``y``. With ``view``, ``y`` may also
    be a view, if it is made again before each write and its base is not read afterwards.
    """
    name = _written(statement)
    if statement is None or name is None or syntax.in_no_grad(statement):
        return None
    made = _made(syntax, name, statement)
    if made is None or shared(syntax, name, made=made.value, before=statement):
        return None
    base = base_of(made.value)
    if base is not made.value and not (view and _only_for_the_view(syntax, base, made, statement, name)):
        return None
    if base is made.value and not isinstance(base, ast.BinOp | ast.UnaryOp | ast.Call):
        return None
    text = syntax.text
    if isinstance(statement, ast.AugAssign):
        new = f"{name} = {name} {SIGNS[type(statement.op)]} {syntax.operand(statement.value)}"
    else:
        method, _, arguments = text(statement).partition("_(")  # y.method_(…)
        new = f"{name} = {method}({arguments}"
    return model.Fix(f"Make a new tensor and name it `{name}`", [model.Edit(*syntax.span(statement), new)])


def base_of(node: ast.expr) -> ast.expr:
    """Return an expression without the views and items that are taken of it: ``x`` for ``x.view(2)[0]``."""
    while True:
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in VIEWS:
                node = value
            case ast.Subscript(value=value) | ast.Attribute(value=value, attr="T" | "mT" | "data"):
                node = value
            case _:
                return node


def shared(syntax: Syntax, name: str, *, made: ast.expr | None = None, before: ast.stmt | None = None) -> bool:
    """Return whether a name, container or attribute may keep the tensor of a name, or a view of it.

    ``made`` is the value assigned to the name itself. With ``before``, only earlier statements count.
    """
    for node in syntax.statements(ast.expr):
        if before is not None and node.lineno >= before.lineno and not syntax.in_loop(before):
            continue
        parent = syntax.parent(node)
        match node:
            case ast.Call(func=ast.Attribute(attr=method), args=arguments) if method in _KEEPING:
                if any(_is(base_of(each), name) for each in arguments):
                    return True
            case ast.List() | ast.Tuple() | ast.Dict():
                values = node.values if isinstance(node, ast.Dict) else node.elts
                kept = not isinstance(parent, ast.Call | ast.Subscript | ast.For | ast.FormattedValue)
                kept = kept and not isinstance(getattr(node, "ctx", None), ast.Store)
                if kept and any(_is(base_of(each), name) for each in values):
                    return True
            case _ if isinstance(parent, ast.Assign | ast.AnnAssign | ast.NamedExpr) and parent.value is node:
                if node is not made and _is(base_of(node), name) and not _gives(parent, name):
                    return True
    return False


def _gives(statement: ast.AST, name: str) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return len(targets) == 1 and _is(targets[0], name)


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _written(statement: ast.stmt | None) -> str | None:
    """Return the name that a statement writes to, if the statement can be rewritten."""
    match statement:
        case ast.AugAssign(target=ast.Name(id=name), op=operator) if type(operator) in SIGNS:
            return name
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method))) if method in METHODS:
            return name
    return None


def _made(syntax: Syntax, name: str, statement: ast.stmt) -> ast.Assign | None:
    """Return the last assignment of a name above a statement, in the same function.

    Return ``None`` for a global name that a function uses, because a new local name would hide the global one.
    """
    function = syntax.function_of(statement)
    if function is not None:
        for node in ast.walk(function):
            if isinstance(node, ast.Global | ast.Nonlocal) and name in node.names:
                return None
    made: ast.Assign | None = None
    for assigned in syntax.statements(ast.Assign):
        if assigned.lineno < statement.lineno and syntax.function_of(assigned) is function and _gives(assigned, name):
            made = assigned
    return made


def _only_for_the_view(syntax: Syntax, base: ast.expr, made: ast.stmt, statement: ast.stmt, name: str) -> bool:
    """Return whether a view is made before each write and used after it, and its base is only printed afterwards."""
    if syntax.parent(made) is not syntax.parent(statement):
        return False
    around = syntax.repetition(statement)
    last = getattr(around, "end_lineno", None) or len(syntax.lines)
    text, used = syntax.text(base), False
    for node in syntax.statements(ast.expr):
        if not made.lineno < node.lineno <= last or not isinstance(getattr(node, "ctx", None), ast.Load):
            continue
        if isinstance(node, ast.Name | ast.Attribute) and syntax.text(node) == text and not syntax.printed(node):
            return False
        used = used or (node.lineno > statement.lineno and _is(node, name) and not syntax.printed(node))
    return used
