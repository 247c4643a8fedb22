"""Read a program's text for what a fix has to know: a statement, what stands around it, and where it can be cut."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Set
from functools import cached_property
from typing import Any, TypeVar

from .. import model

N = TypeVar("N", bound=ast.AST)
GRAD_MODES = frozenset({"no_grad", "inference_mode"})
ROUNDS = 10
"""Assignments that are followed from a ``.grad`` to what is computed from it."""


class Syntax:
    """The parsed text of a program. Places are (1-based line, 0-based column in characters), as in an edit."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._kinds: dict[type[ast.AST], list[Any]] = {}

    @cached_property
    def lines(self) -> list[str]:
        """The program's lines."""
        return self._text.splitlines()

    @cached_property
    def _parents(self) -> dict[ast.AST, ast.AST]:
        """What each piece of the program stands in; read when it is first asked for, since few programs need it."""
        try:
            tree = ast.parse(self._text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return {}
        return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def from_gradients(self) -> frozenset[str]:
        """The names that are assigned what is computed from a ``.grad``, but for those of leaves."""
        assigned = [(node.value, node.targets) for node in self.statements(ast.Assign)]
        assigned += [(node.value, [node.target]) for node in self.statements(ast.AugAssign)]
        grads = (node.value for node in self.statements(ast.Attribute) if node.attr == "grad")
        leaves = {node.id for node in grads if isinstance(node, ast.Name)}
        names: set[str] = set()
        for _ in range(ROUNDS):
            before = len(names)
            for value, targets in assigned:
                if any(is_gradient(each, names) for each in ast.walk(value)):
                    found = {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
                    names |= found - leaves
            if len(names) == before:
                break
        return frozenset(names)

    def assignment(self, name: str, line: int) -> ast.Assign | None:
        """The statement on a line that assigns to one name, attribute or item and nothing else.

        An item is named with its index or key, and may be written with a variable for that.
        """
        try:
            named = ast.parse(name, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        for node in self._parents:
            if (
                isinstance(node, ast.Assign)
                and node.lineno == line
                and len(node.targets) == 1
                and _may_name(node.targets[0], named)
            ):
                return node
        return None

    def torch_name(self) -> str | None:
        """What the program calls the torch module."""
        for node in self._parents:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name == "torch" or (alias.name.startswith("torch.") and alias.asname is None):
                        return alias.asname or "torch"
        return None

    def in_no_grad(self, node: ast.AST) -> bool:
        """Whether a statement stands under ``with torch.no_grad():`` or in a function that is decorated so."""
        return self.no_grad_line(node) is not None

    def no_grad_line(self, node: ast.AST) -> int | None:
        """The line that turns gradients off for a statement: that of the ``with`` or of the decorator around it."""
        while (parent := self._parents.get(node)) is not None:
            wrapped = (
                [item.context_expr for item in parent.items]
                if isinstance(parent, ast.With)
                else parent.decorator_list
                if isinstance(parent, ast.FunctionDef)
                else []
            )
            for expression in wrapped:
                if _called(expression) in GRAD_MODES or _turns_off(expression):
                    return expression.lineno
            node = parent
        return None

    def parent(self, node: ast.AST) -> ast.AST | None:
        """What a piece of the program stands in."""
        return self._parents.get(node)

    def turns_off(self, node: ast.expr) -> bool:
        """Whether an expression is ``torch.set_grad_enabled(False)``."""
        return _turns_off(node)

    def statements(self, kind: type[N]) -> Iterator[N]:
        """Every piece of the program of one kind, in the order of lines."""
        if kind not in self._kinds:
            found = [node for node in self._parents if isinstance(node, kind)]
            self._kinds[kind] = sorted(found, key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)))
        return iter(self._kinds[kind])

    def function_of(self, node: ast.AST) -> ast.FunctionDef | None:
        """The innermost function that a piece of the program stands in."""
        while (parent := self._parents.get(node)) is not None:
            if isinstance(parent, ast.FunctionDef):
                return parent
            node = parent
        return None

    def statement_of(self, node: ast.AST) -> ast.stmt | None:
        """The innermost statement that a piece of the program stands in."""
        at: ast.AST | None = node
        while at is not None and not isinstance(at, ast.stmt):
            at = self._parents.get(at)
        return at

    def call(self, line: int, *names: str) -> ast.Call | None:
        """The call of a function or method of one of these names on a line."""
        for node in self.statements(ast.Call):
            if node.lineno <= line <= (node.end_lineno or node.lineno) and _called(node) in names:
                return node
        return None

    def at(self, line: int | None, columns: tuple[int, int] | None) -> list[ast.expr]:
        """The expressions that stand exactly there, on one line, the outermost first."""
        found = (node for node in self.statements(ast.expr) if node.lineno == node.end_lineno == line)
        return [node for node in found if columns == (self.span(node)[0][1], self.span(node)[1][1])]

    def assigned(self, name: str) -> list[ast.expr]:
        """All that the program assigns to a name alone."""
        return [
            node.value
            for node in self.statements(ast.Assign)
            if any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        ]

    def statement(self, line: int) -> ast.stmt | None:
        """The innermost statement that begins on a line."""
        found = [node for node in self.statements(ast.stmt) if node.lineno == line]
        return found[-1] if found else None

    def in_loop(self, node: ast.AST) -> bool:
        """Whether a statement may run more than once: in a loop, or in a function."""
        while (parent := self._parents.get(node)) is not None:
            if isinstance(parent, ast.For | ast.While | ast.FunctionDef):
                return True
            node = parent
        return False

    def cleared(self) -> set[str]:
        """Whose gradients the program resets itself, as it writes them."""
        found: list[ast.expr] = []
        for node in self._parents:
            if isinstance(node, ast.Assign):
                found += node.targets
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "zero_":
                found.append(node.func.value)
        return self.graded(found)

    def graded(self, nodes: Iterable[ast.AST]) -> set[str]:
        """Of what the ``.grad`` is among some expressions, as it is written."""
        return {self.text(node.value) for node in nodes if isinstance(node, ast.Attribute) and node.attr == "grad"}

    def calls(self, method: str) -> bool:
        """Whether the program calls a method of this name, of whatever object."""
        return any(isinstance(node.func, ast.Attribute) and node.func.attr == method for node in self.statements(ast.Call))

    def span(self, node: ast.stmt | ast.expr) -> tuple[tuple[int, int], tuple[int, int]]:
        """Where a piece of the program begins and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._place(node.lineno, node.col_offset), self._place(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr | ast.stmt) -> str:
        """The text of an expression or a statement, as the person wrote it."""
        (first, start), (last, end) = self.span(node)
        if first == last:
            return self.lines[first - 1][start:end]
        return "\n".join([self.lines[first - 1][start:], *self.lines[first : last - 1], self.lines[last - 1][:end]])

    def operand(self, node: ast.expr) -> str:
        """The text of an expression as an operand of another: in brackets if it needs them."""
        simple = isinstance(node, ast.Name | ast.Call | ast.Attribute | ast.Subscript | ast.Constant)
        return self.text(node) if simple else f"({self.text(node)})"

    def argument(self, call: ast.Call, text: str) -> model.Edit:
        """The edit that gives a call one more argument."""
        _, (line, column) = self.span(call)
        before = self.text(call)[:-1].rstrip()
        place = (line, column - 1)
        return model.Edit(place, place, text if before.endswith(("(", ",")) else f", {text}")

    def alone(self, node: ast.stmt) -> bool:
        """Whether a statement has its line to itself, so that it can be put into a block of its own."""
        (first, start), (last, end) = self.span(node)
        after = self.lines[last - 1][end:].strip()
        return not self.lines[first - 1][:start].strip() and (not after or after.startswith("#"))

    def before(self, node: ast.stmt, text: str) -> model.Edit:
        """The edit that puts a statement of its own before one that is alone on its line."""
        start, _ = self.span(node)
        return model.Edit(start, start, f"{text}\n{self.indent(node)}")

    def after(self, node: ast.stmt, text: str) -> model.Edit:
        """The edit that puts a statement of its own after one that is alone on its line, and after its comment."""
        _, (line, _) = self.span(node)
        end = (line, len(self.lines[line - 1]))
        return model.Edit(end, end, f"\n{self.indent(node)}{text}")

    def indent(self, node: ast.stmt) -> str:
        """What stands before a statement on its line."""
        (line, start), _ = self.span(node)
        return self.lines[line - 1][:start]

    def _place(self, line: int, offset: int) -> tuple[int, int]:
        return line, len(self.lines[line - 1].encode()[:offset].decode(errors="ignore"))


def is_gradient(node: ast.AST, names: Set[str]) -> bool:
    """Whether a piece of a program is a ``.grad`` or one of these names."""
    return (isinstance(node, ast.Attribute) and node.attr == "grad") or (isinstance(node, ast.Name) and node.id in names)


def _may_name(node: ast.expr, named: ast.expr) -> bool:
    """Whether an expression is a name, attribute or item that was called so, where its variables may hold any key."""
    match node, named:
        case ast.Name(id=one), ast.Name(id=other):
            return one == other
        case ast.Attribute(attr=one), ast.Attribute(attr=other):
            return one == other and _may_name(node.value, named.value)
        case ast.Subscript(slice=one), ast.Subscript(slice=other):
            same = isinstance(one, ast.Name) or ast.dump(one) == ast.dump(other)
            return same and _may_name(node.value, named.value)
    return False


def _called(node: ast.expr) -> str | None:
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else None


def _turns_off(node: ast.expr) -> bool:
    """Whether an expression is ``set_grad_enabled(False)``."""
    if not isinstance(node, ast.Call) or _called(node) != "set_grad_enabled" or not node.args:
        return False
    given = node.args[0]
    return isinstance(given, ast.Constant) and given.value is False
