"""Parse a program for the rules: find statements and calls by line, and make edits that fit their surroundings."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Set
from functools import cached_property
from typing import Any, TypeVar

from ... import model

N = TypeVar("N", bound=ast.AST)
GRAD_MODES = frozenset({"no_grad", "inference_mode"})
ROUNDS = 10
"""Largest number of rounds in which assignments are followed from a ``.grad`` to the names computed from it."""


class Syntax:
    """The syntax tree of a program. Positions are (1-based line, 0-based column in characters), as in an edit.

    The text is parsed on first use, because few programs have findings that need it.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._kinds: dict[type[ast.AST], list[Any]] = {}

    @cached_property
    def lines(self) -> list[str]:
        """The program's lines."""
        return model.program_lines(self._text)

    @cached_property
    def _parents(self) -> dict[ast.AST, ast.AST]:
        """The parent of each node of the syntax tree."""
        try:
            tree = ast.parse(self._text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return {}
        return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}

    @cached_property
    def from_gradients(self) -> frozenset[str]:
        """The names that are assigned a value computed from a ``.grad``, except the names of leaves."""
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
        """Return the assignment that begins on a line and whose only target may be ``name``.

        ``name`` may be an item with its index or key, such as ``w[0]``. A target with a variable as index, such as ``w[i]``,
        matches every item.
        """
        try:
            named = ast.parse(name, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        for node in self._assignments_of_line.get(line, ()):
            if len(node.targets) == 1 and _may_name(node.targets[0], named):
                return node
        return None

    @cached_property
    def _assignments_of_line(self) -> dict[int, list[ast.Assign]]:
        """The assignments that begin on each line, the outermost first."""
        found: dict[int, list[ast.Assign]] = {}
        for node in self._parents:
            if isinstance(node, ast.Assign):
                found.setdefault(node.lineno, []).append(node)
        return found

    def torch_name(self) -> str | None:
        """Return the name by which the program imports torch, ``None`` if it does not."""
        for node in self._parents:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name == "torch" or (alias.name.startswith("torch.") and alias.asname is None):
                        return alias.asname or "torch"
        return None

    def in_no_grad(self, node: ast.AST) -> bool:
        """Return whether a ``with`` or a decorator turns gradients off for a statement, as ``torch.no_grad()`` does."""
        return self.no_grad_line(node) is not None

    def no_grad_line(self, node: ast.AST) -> int | None:
        """Return the line of the ``with`` or decorator that turns gradients off for a statement, if there is one."""
        while (parent := self._parents.get(node)) is not None:
            wrapped = (
                [item.context_expr for item in parent.items]
                if isinstance(parent, ast.With)
                else parent.decorator_list
                if isinstance(parent, ast.FunctionDef)
                else []
            )
            for expression in wrapped:
                if called(expression) in GRAD_MODES or _turns_off(expression):
                    return expression.lineno
            node = parent
        return None

    def parent(self, node: ast.AST) -> ast.AST | None:
        """Return the parent of a node of the syntax tree."""
        return self._parents.get(node)

    def turns_off(self, node: ast.expr) -> bool:
        """Return whether an expression is ``torch.set_grad_enabled(False)``."""
        return _turns_off(node)

    def statements(self, kind: type[N]) -> Iterator[N]:
        """Iterate over the nodes of one kind, in the order of their lines."""
        if kind not in self._kinds:
            found = [node for node in self._parents if isinstance(node, kind)]
            self._kinds[kind] = sorted(found, key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)))
        return iter(self._kinds[kind])

    def function_of(self, node: ast.AST) -> ast.FunctionDef | None:
        """Return the innermost function around a node, ``None`` at module level."""
        while (parent := self._parents.get(node)) is not None:
            if isinstance(parent, ast.FunctionDef):
                return parent
            node = parent
        return None

    def statement_of(self, node: ast.AST | None) -> ast.stmt | None:
        """Return the innermost statement that contains a node."""
        around = node
        while around is not None and not isinstance(around, ast.stmt):
            around = self._parents.get(around)
        return around

    def call(self, line: int, *names: str) -> ast.Call | None:
        """Return the first call on a line that calls a function or method with one of these names."""
        for node in self.statements(ast.Call):
            if node.lineno <= line <= (node.end_lineno or node.lineno) and called(node) in names:
                return node
        return None

    def at(self, line: int | None, columns: tuple[int, int] | None) -> list[ast.expr]:
        """Return the expressions that span exactly these columns of a line, the outermost first."""
        found = self._expressions_of_line.get(line or 0, ())
        return [node for node in found if columns == (self.span(node)[0][1], self.span(node)[1][1])]

    @cached_property
    def _expressions_of_line(self) -> dict[int, list[ast.expr]]:
        """The expressions that begin and end on each line, the outermost first."""
        found: dict[int, list[ast.expr]] = {}
        for node in self.statements(ast.expr):
            if node.lineno == node.end_lineno:
                found.setdefault(node.lineno, []).append(node)
        return found

    def assigned(self, name: str) -> list[ast.expr]:
        """Return the values that the program assigns to a name, in the order of lines."""
        return self._assigned.get(name, [])

    @cached_property
    def _assigned(self) -> dict[str, list[ast.expr]]:
        """The values that are assigned to each name, in the order of lines."""
        found: dict[str, list[ast.expr]] = {}
        for node in self.statements(ast.Assign):
            for name in {target.id: target for target in node.targets if isinstance(target, ast.Name)}:
                found.setdefault(name, []).append(node.value)
        return found

    def statement(self, line: int) -> ast.stmt | None:
        """Return the innermost statement that begins on a line."""
        return self._last_statements.get(line)

    @cached_property
    def _last_statements(self) -> dict[int, ast.stmt]:
        """The innermost statement that begins on each line."""
        return {node.lineno: node for node in self.statements(ast.stmt)}

    def in_loop(self, node: ast.AST) -> bool:
        """Return whether a statement may run more than once: in a loop or in a function."""
        return self.repetition(self._parents.get(node)) is not None

    def repetition(self, node: ast.AST | None) -> ast.For | ast.While | ast.FunctionDef | None:
        """Return the innermost loop or function that is a node or is around it, ``None`` at module level."""
        while node is not None and not isinstance(node, ast.For | ast.While | ast.FunctionDef):
            node = self._parents.get(node)
        return node

    def loops(self, node: ast.AST | None) -> list[ast.For | ast.While]:
        """Return the loops around a node in its function, the innermost first."""
        found = []
        around = node
        while around is not None and (around := self.repetition(self._parents.get(around))) is not None:
            if isinstance(around, ast.FunctionDef):
                break
            found.append(around)
        return found

    def printed(self, node: ast.AST) -> bool:
        """Return whether a node is part of a call of ``print``."""
        around: ast.AST | None = node
        while around is not None and not isinstance(around, ast.stmt):
            if isinstance(around, ast.Call) and called(around) == "print":
                return True
            around = self._parents.get(around)
        return False

    @cached_property
    def cleared(self) -> set[str]:
        """The expressions whose ``.grad`` the program resets, as written in the program."""
        found: list[ast.expr] = []
        for node in self._parents:
            if isinstance(node, ast.Assign):
                found += node.targets
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "zero_":
                found.append(node.func.value)
        return self.graded(found)

    def graded(self, nodes: Iterable[ast.AST]) -> set[str]:
        """Return the expressions whose ``.grad`` is among these nodes, as written in the program."""
        return {self.text(node.value) for node in nodes if isinstance(node, ast.Attribute) and node.attr == "grad"}

    def keeps_graphs(self) -> bool:
        """Return whether the program keeps a graph beyond a pass, with ``retain_graph`` or ``create_graph``."""
        return any(node.arg in ("retain_graph", "create_graph") for node in self.statements(ast.keyword))

    def calls(self, method: str) -> bool:
        """Return whether the program calls a method of this name on any object."""
        return method in self._called_methods

    @cached_property
    def _called_methods(self) -> frozenset[str]:
        return frozenset(node.func.attr for node in self.statements(ast.Call) if isinstance(node.func, ast.Attribute))

    def span(self, node: ast.stmt | ast.expr) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the positions at which a node begins and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._position(node.lineno, node.col_offset), self._position(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr | ast.stmt) -> str:
        """Return the text of an expression or a statement as it is in the program."""
        (first, start), (last, end) = self.span(node)
        if first == last:
            return self.lines[first - 1][start:end]
        return "\n".join([self.lines[first - 1][start:], *self.lines[first : last - 1], self.lines[last - 1][:end]])

    def operand(self, node: ast.expr) -> str:
        """Return the text of an expression as an operand of another one, in parentheses if it needs them."""
        simple = isinstance(node, ast.Name | ast.Call | ast.Attribute | ast.Subscript | ast.Constant)
        return self.text(node) if simple else f"({self.text(node)})"

    def argument(self, call: ast.Call, text: str) -> model.Edit:
        """Return the edit that adds an argument to a call."""
        _, (line, column) = self.span(call)
        before = self.text(call)[:-1].rstrip()
        position = (line, column - 1)
        return model.Edit(position, position, text if before.endswith(("(", ",")) else f", {text}")

    def alone(self, node: ast.stmt) -> bool:
        """Return whether no other statement shares a line with this one, so that it can be moved into a block."""
        (first, start), (last, end) = self.span(node)
        after = self.lines[last - 1][end:].strip()
        return not self.lines[first - 1][:start].strip() and (not after or after.startswith("#"))

    def before(self, node: ast.stmt, text: str) -> model.Edit:
        """Return the edit that inserts a statement before a statement that is alone on its line."""
        start, _ = self.span(node)
        return model.Edit(start, start, f"{text}\n{self.indent(node)}")

    def after(self, node: ast.stmt, text: str) -> model.Edit:
        """Return the edit that inserts a statement after a statement that is alone on its line, and after its comment."""
        _, (line, _) = self.span(node)
        end = (line, len(self.lines[line - 1]))
        return model.Edit(end, end, f"\n{self.indent(node)}{text}")

    def indent(self, node: ast.stmt) -> str:
        """Return the indentation of a statement."""
        (line, start), _ = self.span(node)
        return self.lines[line - 1][:start]

    def _position(self, line: int, offset: int) -> tuple[int, int]:
        text = self.lines[line - 1]
        return line, offset if self._is_ascii[line - 1] else len(text.encode()[:offset].decode(errors="ignore"))

    @cached_property
    def _is_ascii(self) -> list[bool]:
        """For each line, whether its columns in bytes and in characters are the same."""
        return [line.isascii() for line in self.lines]


def root_of_pass(call: ast.Call | None) -> ast.expr | None:
    """Return the root of a pass: the receiver of ``backward``, or the first argument of another call."""
    match call:
        case ast.Call(func=ast.Attribute(attr="backward", value=receiver)) if getattr(receiver, "attr", "") != "autograd":
            return receiver
        case ast.Call(args=[first, *_]):
            return first
    return None


def is_gradient(node: ast.AST, names: Set[str]) -> bool:
    """Return whether a node is a ``.grad`` or one of these names."""
    return (isinstance(node, ast.Attribute) and node.attr == "grad") or (isinstance(node, ast.Name) and node.id in names)


def _may_name(node: ast.expr, named: ast.expr) -> bool:
    """Return whether a target can be the name, attribute or item ``named``. A variable as index matches every key."""
    match node, named:
        case ast.Name(id=one), ast.Name(id=other):
            return one == other
        case ast.Attribute(attr=one), ast.Attribute(attr=other):
            return one == other and _may_name(node.value, named.value)
        case ast.Subscript(slice=one), ast.Subscript(slice=other):
            same = isinstance(one, ast.Name) or ast.dump(one) == ast.dump(other)
            return same and _may_name(node.value, named.value)
    return False


def called(node: ast.expr) -> str | None:
    """Return the name of the function or method that an expression calls or is, ``None`` if it has no name."""
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else None


def _turns_off(node: ast.expr) -> bool:
    """Return whether an expression is ``set_grad_enabled(False)``."""
    if not isinstance(node, ast.Call) or called(node) != "set_grad_enabled" or not node.args:
        return False
    given = node.args[0]
    return isinstance(given, ast.Constant) and given.value is False


def variable_name(node: ast.AST) -> str | None:
    """Return the name of a variable, or of an attribute of ``self``; ``None`` for other nodes."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return f"self.{name}"
    return None
