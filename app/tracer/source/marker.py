"""Mark the statements of a cell so that each statement passes its value to the recorder.

A marked cell runs as written, except that the value of each statement passes through a call to
``__tapedeck_value__(index, value)``, which returns the value. Every expression keeps its position in the text. Tracebacks,
carets and :meth:`code.co_positions` therefore show the positions in the program.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from .statements import LineRange, ProgramStructure, Statement
from .targets import assignment_targets
from .watch_points import WatchPoints, is_watch_point

HOOK = "__tapedeck_value__"
"""The name in ``builtins`` of the function that receives values."""

_PASSES = frozenset({"backward", "grad"})
GRAD_MODES = frozenset({"no_grad", "enable_grad", "inference_mode", "set_grad_enabled"})


class Marker(ast.NodeTransformer):
    """Pass the value of every statement to the hook, and collect the program's structure.

    ``watch`` are the places at which a replay evaluates an expression.
    """

    def __init__(self, structure: ProgramStructure, *, quiet: bool, watch: WatchPoints | None = None) -> None:
        self._structure = structure
        self._watch = watch
        self._quiet = quiet
        self._in_loop = False
        """True inside a loop of the visited function."""

    def mark(self, tree: ast.Module) -> ast.Module:
        """Return ``tree`` with all its statements marked."""
        last = tree.body[-1] if tree.body else None
        self._last = last if isinstance(last, ast.Expr) else None
        if self._watch is not None:
            self._watch.insert(tree, unmarked=self._last if self._quiet else None)
        marked: ast.Module = self.visit(tree)
        return marked

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        names, unpacks = _targets(node.targets)
        targets = assignment_targets(node.targets)
        node.value = self._hooked(node.value, Statement(node.lineno, "assign", names, unpacks, targets=targets))
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            names, _ = _targets([node.target])
            targets = assignment_targets([node.target])
            node.value = self._hooked(node.value, Statement(node.lineno, "assign", names, targets=targets))
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | list[ast.AST]:
        if not isinstance(node.target, ast.Name):
            return node
        read = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
        shown = ast.Expr(self._hooked(read, Statement(node.lineno, "update", (node.target.id,))))
        return [node, ast.copy_location(shown, node)]

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if (node is self._last and self._quiet) or is_watch_point(node.value):
            return node
        if not isinstance(node.value, ast.Constant) or node is self._last:
            node.value = self._hooked(node.value, Statement(node.lineno, "show", last=node is self._last))
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST | list[ast.AST]:
        if node.value is not None:
            node.value = self._hooked(node.value, Statement(node.lineno, "return"))
        elif self._in_loop:
            return [self._statement(ast.Constant(None), Statement(node.lineno, "return"), node), node]
        return node

    def visit_Delete(self, node: ast.Delete) -> ast.AST | list[ast.AST]:
        names = [target for target in node.targets if isinstance(target, ast.Name)]
        if not names:
            return node
        read: list[ast.expr] = [ast.copy_location(ast.Name(name.id, ast.Load()), name) for name in names]
        return [self._statement(ast.Tuple(read, ast.Load()), Statement(node.lineno, "delete"), names[0]), node]

    def visit_For(self, node: ast.For) -> list[ast.AST]:
        loop = self._loop(node)
        self._structure.loop_variables.update(each.id for each in ast.walk(node.target) if isinstance(each, ast.Name))
        self._visit_loop(node)
        node.iter = self._hooked(node.iter, Statement(node.lineno, "enter", loop=loop))
        names, _ = _targets([node.target])
        simple = isinstance(node.target, ast.Name)
        value: ast.expr = ast.Name(names[0], ast.Load()) if simple else ast.Constant(None)
        statement = Statement(node.lineno, "target" if simple else "iteration", names if simple else (), loop=loop)
        node.body.insert(0, self._statement(value, statement, node.target))
        return [node, self._statement(ast.Constant(None), Statement(node.lineno, "exit", loop=loop), node.target)]

    def visit_While(self, node: ast.While) -> list[ast.AST]:
        loop = self._loop(node)
        self._visit_loop(node)
        entered = self._statement(ast.Constant(None), Statement(node.lineno, "enter", loop=loop), node.test)
        node.body.insert(0, self._statement(ast.Constant(None), Statement(node.lineno, "iteration", loop=loop), node.test))
        left = self._statement(ast.Constant(None), Statement(node.lineno, "exit", loop=loop), node.test)
        return [entered, node, left]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._visit_function(node)

    def _visit_function(self, node: ast.AST) -> ast.AST:
        around, self._in_loop = self._in_loop, False
        self.generic_visit(node)
        self._in_loop = around
        return node

    def _visit_loop(self, node: ast.For | ast.While) -> None:
        around, self._in_loop = self._in_loop, True
        self.generic_visit(node)
        self._in_loop = around

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self.generic_visit(node)
        at = node.type or ast.copy_location(ast.Constant(None), node.body[0])
        node.body.insert(0, self._statement(ast.Constant(None), Statement(node.lineno, "caught"), at))
        return node

    def visit_With(self, node: ast.With) -> ast.AST:
        if any(_called(item.context_expr) in GRAD_MODES for item in node.items):
            self._structure.grad_modes.append(_span(node))
        return self.generic_visit(node)

    def _loop(self, node: ast.For | ast.While) -> int:
        loop = len(self._structure.loops)
        self._structure.loops.append(_span(node))
        if any(isinstance(part, ast.Call) and _called(part) in _PASSES for part in ast.walk(node)):
            self._structure.loops_with_passes.add(loop)
        return loop

    def _hooked(self, value: ast.expr, statement: Statement) -> ast.expr:
        self._structure.statements.append(statement)
        index = ast.copy_location(ast.Constant(len(self._structure.statements) - 1), value)
        hook = ast.copy_location(ast.Name(HOOK, ast.Load()), value)
        return ast.copy_location(ast.Call(hook, [index, value], []), value)

    def _statement(self, value: ast.expr, statement: Statement, at: ast.expr | ast.stmt) -> ast.stmt:
        located = ast.copy_location(value, at)
        return ast.copy_location(ast.Expr(self._hooked(located, statement)), at)


def ends_quietly(tree: ast.Module, lines: Sequence[str]) -> bool:
    """Return whether a semicolon follows the last statement, after which a notebook shows no value."""
    last = tree.body[-1] if tree.body else None
    if last is None or last.end_lineno is None or last.end_col_offset is None:
        return False
    return lines[last.end_lineno - 1].encode()[last.end_col_offset :].lstrip().startswith(b";")


def _targets(targets: list[ast.expr]) -> tuple[tuple[str, ...], bool]:
    """Return the plain names that targets bind, and whether the value is unpacked."""
    if len(targets) == 1 and isinstance(targets[0], ast.Tuple | ast.List):
        parts = targets[0].elts
        return (
            (tuple(part.id for part in parts if isinstance(part, ast.Name)), True)
            if all(isinstance(part, ast.Name) for part in parts)
            else ((), True)
        )
    return tuple(target.id for target in targets if isinstance(target, ast.Name)), False


def is_mark(node: ast.expr) -> bool:
    """Return whether an expression is a call to the hook."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == HOOK


def _called(node: ast.expr) -> str | None:
    """Return the name of the function or method that an expression calls."""
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else None


def _span(node: ast.For | ast.While | ast.With) -> LineRange:
    return LineRange(node.lineno, node.body[0].lineno, node.end_lineno or node.lineno)
