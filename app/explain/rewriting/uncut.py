"""Remove a cut of a graph, if every other use of the tensor still works and computes the same."""

from __future__ import annotations

import ast
from typing import Final

from ... import model
from ..program.cuts import CutExpression
from ..program.syntax import Syntax, called
from ..program.updates import written_by

_ARRAYS: Final = frozenset({"numpy", "resize_", "set_"})
"""Methods that fail on a tensor with a graph."""
_PLAIN: Final = frozenset({"round", "array", "asarray", "from_numpy", "dumps", "append", "plot"})
"""Functions that refuse a tensor with a graph, or would keep the graph."""
_LONGEST_TITLE: Final = 40


def keep_graph(syntax: Syntax, found: CutExpression, kept: ast.expr) -> model.Fix | None:
    """Return the fix that replaces a cut with the expression ``kept``.

    Other uses of the name of a loss, as in ``total += loss``, get the cut instead. Otherwise, they would keep the graph of each
    step. There is no fix if a use could fail, or could change a tensor that the graph needs.
    """
    left = syntax.operand(kept)
    edits = [model.Edit(*syntax.span(found.node), left)]
    name = _name(syntax, found.node)
    if name is not None:
        uses = [each for each in syntax.statements(ast.Name) if each.id == name and each is not kept]
        if any(_writes(syntax, each) for each in uses):
            return None
        read = [each for each in uses if isinstance(each.ctx, ast.Load)]
        if any(_is_root(syntax, each) for each in read):
            others = [each for each in read if not _is_root(syntax, each) and each not in ast.walk(found.node)]
            others = [each for each in others if not _formatted(syntax, each) and _sees(syntax, each, found.node)]
            if others and (len(syntax.assigned(name)) > 1 or any(not _plain_use(syntax, each) for each in others)):
                return None
            edits += [model.Edit(syntax.span(each)[1], syntax.span(each)[1], _suffix(found)) for each in others]
        elif any(_refuses(syntax, each) for each in read):
            return None
    return model.Fix(f"Keep the graph: use `{left}`" if len(left) <= _LONGEST_TITLE else "Keep the graph", edits)


def _name(syntax: Syntax, node: ast.expr) -> str | None:
    """Return the name to which an expression is assigned, ``None`` if the expression is only a part of the assigned value."""
    match syntax.parent(node):
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return None


def _writes(syntax: Syntax, use: ast.Name) -> bool:
    """Return whether a use of a name writes to its tensor, to an item of it or through a view."""
    statement = syntax.statement_of(use)
    written = written_by(statement) if statement is not None else None
    return written is not None and use in ast.walk(written)


def _is_root(syntax: Syntax, use: ast.Name) -> bool:
    """Return whether a pass starts at a use, or at an expression around it, as in ``(loss / 4).backward()``."""
    node: ast.AST = use
    while (parent := syntax.parent(node)) is not None and not isinstance(parent, ast.stmt):
        if isinstance(parent, ast.Attribute) and parent.attr == "backward":
            return True
        if isinstance(parent, ast.Call) and called(parent) in ("backward", "grad") and node in parent.args[:1]:
            return True
        node = parent
    return False


def _sees(syntax: Syntax, use: ast.Name, cut: ast.expr) -> bool:
    """Return whether a use may read the result of a cut: it comes later, or runs again in a loop or another function."""
    if syntax.in_loop(cut) or syntax.function_of(use) is not syntax.function_of(cut):
        return True
    return (use.lineno, use.col_offset) > (cut.lineno, cut.col_offset)


def _formatted(syntax: Syntax, use: ast.Name) -> bool:
    """Return whether a use is part of a text such as ``f"{loss:.3f}"``, which formats a tensor as its number."""
    around: ast.AST | None = use
    while around is not None and not isinstance(around, ast.stmt):
        if isinstance(around, ast.JoinedStr):
            return True
        around = syntax.parent(around)
    return False


def _plain_use(syntax: Syntax, use: ast.Name) -> bool:
    """Return whether ``.item()`` or ``.detach()`` can follow a use: no attribute follows it, and it is not deleted."""
    return not isinstance(syntax.parent(use), ast.Attribute | ast.Delete)


def _refuses(syntax: Syntax, use: ast.Name) -> bool:
    parent = syntax.parent(use)
    if isinstance(parent, ast.Attribute):
        return parent.attr in _ARRAYS
    if not isinstance(parent, ast.Call):
        return False
    module = getattr(parent.func, "value", None)
    return called(parent) in _PLAIN or (isinstance(module, ast.Name) and module.id in ("np", "numpy", "plt"))


def _suffix(found: CutExpression) -> str:
    """Return the call that, appended to a name, makes the same cut as the removed one."""
    return ".item()" if called(found.node) == "item" else ".detach()"
