"""Read a program's text for what a fix has to know: a statement, what stands around it, and where it can be cut."""

from __future__ import annotations

import ast

GRAD_MODES = frozenset({"no_grad", "inference_mode"})


class Syntax:
    """The parsed text of a program. Places are (1-based line, 0-based column in characters), as in an edit."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        try:
            self._tree: ast.Module | None = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            self._tree = None
        self._parents = {
            child: node for node in (ast.walk(self._tree) if self._tree else ()) for child in ast.iter_child_nodes(node)
        }

    def assignment(self, name: str, line: int) -> ast.Assign | None:
        """The statement on a line that assigns to one name and nothing else."""
        for node in self._parents:
            if (
                isinstance(node, ast.Assign)
                and node.lineno == line
                and len(node.targets) == 1
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id == name
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
        while (parent := self._parents.get(node)) is not None:
            wrapped = (
                [item.context_expr for item in parent.items]
                if isinstance(parent, ast.With)
                else parent.decorator_list
                if isinstance(parent, ast.FunctionDef)
                else []
            )
            if any(_called(expression) in GRAD_MODES for expression in wrapped):
                return True
            node = parent
        return False

    def in_loop(self, node: ast.AST) -> bool:
        """Whether a statement may run more than once: in a loop, or in a function."""
        while (parent := self._parents.get(node)) is not None:
            if isinstance(parent, ast.For | ast.While | ast.FunctionDef):
                return True
            node = parent
        return False

    def clears_gradient(self, name: str) -> bool:
        """Whether the program resets the gradient of a name: by itself, or with an optimizer's ``zero_grad``."""
        for node in self._parents:
            if isinstance(node, ast.Assign) and any(_is_grad(target, name) for target in node.targets):
                return True
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = node.func
                if called.attr == "zero_grad" or (called.attr == "zero_" and _is_grad(called.value, name)):
                    return True
        return False

    def span(self, node: ast.stmt | ast.expr) -> tuple[tuple[int, int], tuple[int, int]]:
        """Where a piece of the program begins and ends."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._place(node.lineno, node.col_offset), self._place(node.end_lineno, node.end_col_offset)

    def text(self, node: ast.expr) -> str:
        """The text of an expression, as the person wrote it."""
        (first, start), (last, end) = self.span(node)
        if first == last:
            return self.lines[first - 1][start:end]
        return "\n".join([self.lines[first - 1][start:], *self.lines[first : last - 1], self.lines[last - 1][:end]])

    def alone(self, node: ast.stmt) -> bool:
        """Whether a statement has its line to itself, so that it can be put into a block of its own."""
        (first, start), (last, end) = self.span(node)
        after = self.lines[last - 1][end:].strip()
        return not self.lines[first - 1][:start].strip() and (not after or after.startswith("#"))

    def _place(self, line: int, offset: int) -> tuple[int, int]:
        return line, len(self.lines[line - 1].encode()[:offset].decode(errors="ignore"))


def _is_grad(node: ast.expr, name: str) -> bool:
    return (
        isinstance(node, ast.Attribute) and node.attr == "grad" and isinstance(node.value, ast.Name) and node.value.id == name
    )


def _called(node: ast.expr) -> str | None:
    function = node.func if isinstance(node, ast.Call) else node
    return function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else None
