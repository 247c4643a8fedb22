"""Find where a tensor lost its graph: the cut nearest to the line that asked for a gradient.

The text says what a line does, the recording what came of it: a detached tensor is a cut only if what was detached had a
gradient to lose.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from .. import model
from .syntax import Syntax

MODULES = frozenset({"torch", "F", "functional", "np", "numpy"})
NUMBERS = frozenset({"item", "tolist", "numpy"})
BUILTINS = frozenset({"float", "int", "round"})
MADE_ANEW = frozenset({"tensor", "as_tensor", "from_numpy", "FloatTensor", "Tensor", "array", "asarray"})
SHARING = frozenset({"from_numpy", "as_tensor", "asarray"})
PLACES = frozenset(
    {"argmax", "argmin", "argsort", "long", "int", "bool", "short", "byte", "nonzero", "bincount", "multinomial"}
)

NEAR = 50
"""Assignments to a name above its use, and cuts in one expression, that are looked at."""
LOOKED_AT = 200
"""Expressions that are looked into, at most: a cut that is further away is no help."""
DEEP = 20
"""Assignments that are followed to learn whether a name stands for something with a gradient."""


@dataclass(frozen=True)
class Cut:
    """Where a graph ends: the line, what stands there, why that cuts, and what mends it where that is sure."""

    line: int
    text: str
    why: str
    fix: model.Fix | None = None


@dataclass(frozen=True)
class _Found:
    """A cut as it stands: what it is, what it cuts off, and whether that ``keeps`` its graph in the cut's place."""

    node: ast.expr
    carried: ast.expr
    why: str
    keeps: bool = False
    head: int | None = None


class Cuts:
    """Looks for cuts in a program. ``requires_grad`` says of a line's last value whether it did, where that is known."""

    def __init__(self, syntax: Syntax, requires_grad: Mapping[int, bool]) -> None:
        self._syntax = syntax
        self._requires_grad = requires_grad
        self._assigned: dict[str, list[ast.Assign]] = {}
        for node in syntax.statements(ast.Assign):
            for target in node.targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        self._assigned.setdefault(name.id, []).append(node)
        self._functions = {node.name: node for node in syntax.statements(ast.FunctionDef)}
        self._classes = {node.name: node for node in syntax.statements(ast.ClassDef)}
        self._known: dict[ast.expr, bool | None] = {}

    def nearest(self, root: ast.expr) -> Cut | None:
        """The cut that is nearest to an expression, through the assignments and functions that it is made of."""
        unsure: Cut | None = None
        seen: set[ast.AST] = set()
        waiting = deque([root])
        while waiting and len(seen) < LOOKED_AT:
            expression = waiting.popleft()
            if expression in seen:
                continue
            seen.add(expression)
            for found in islice(self._in(expression), NEAR):
                known = self._carries(found.carried)
                if known:
                    return self._told(found)
                if known is None and unsure is None:
                    unsure = self._told(found)
            waiting.extend(islice(self._behind(expression), LOOKED_AT))
        return unsure or self._off()

    def _in(self, root: ast.expr) -> Iterator[_Found]:
        """Every cut in an expression, from the outside in."""
        statement = self._syntax.statement_of(root)
        head = self._syntax.no_grad_line(statement) if statement is not None else None
        if head is not None:
            yield _Found(root, root, f"Line {root.lineno} runs there without gradients, and leaves no graph.", head=head)
        for node in ast.walk(root):
            found = self._at(node)
            if found is not None:
                yield found

    def _at(self, node: ast.AST) -> _Found | None:
        """The cut that a piece of the program is, if it is one."""
        if isinstance(node, ast.Compare):
            return _Found(node, node.left, "A comparison answers yes or no: it has no slope, and no gradient.")
        if isinstance(node, ast.Attribute) and node.attr == "data":
            return _Found(node, node.value, "It gives the values without the graph that they come from.", keeps=True)
        if not isinstance(node, ast.Call):
            return None
        method = node.func.value if isinstance(node.func, ast.Attribute) else None
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = node.args[0] if node.args else None
        operand = given if method is None or getattr(method, "id", None) in MODULES else method
        if name == "grad" and given is not None and all(keyword.arg != "create_graph" for keyword in node.keywords):
            return _Found(node, given, "Without create_graph=True a gradient is only numbers: nothing leads back from it.")
        if operand is None or isinstance(operand, ast.Constant):
            return None
        if name in ("detach", "detach_"):
            return _Found(node, operand, "It gives the values without the graph that they come from.", keeps=True)
        if name in MADE_ANEW and given is not None:
            how = "copies the numbers" if name not in SHARING else "takes the numbers as they lie in memory"
            why = f"It {how} into a new tensor, which knows nothing of their graph."
            plain = name == "tensor" and len(node.args) == 1 and not node.keywords
            return _Found(node, given, why, keeps=plain and self._is_tensor(given))
        if name in PLACES and method is not None:
            return _Found(node, operand, "It gives whole numbers: they have no slope, and no gradient.")
        if name in (NUMBERS if method is not None else BUILTINS):
            return _Found(node, operand, "It gives plain numbers, and these have no graph.", keeps=name == "item")
        return None

    def _is_tensor(self, node: ast.expr) -> bool:
        """Whether an expression is a tensor that is known: by a name, or as numbers that were taken out of one."""
        inner = self._at(node)
        if inner is not None:
            return inner.keeps
        value = self._value(node) if isinstance(node, ast.Name) else None
        return value is not None and value.lineno in self._requires_grad

    def _told(self, found: _Found) -> Cut:
        if found.head is not None:
            return Cut(found.head, self._line(found.head), found.why)
        text, fix = self._syntax.text(found.node), None
        if found.keeps:
            kept = found.carried
            while (inner := self._at(kept)) is not None and inner.keeps:
                kept = inner.carried
            left = self._syntax.operand(kept)
            edit = model.Edit(*self._syntax.span(found.node), left)
            fix = model.Fix(f"Keep the graph: `{left}` as it is" if len(left) <= 40 else "Keep the graph", [edit])
        return Cut(found.node.lineno, text, found.why, fix)

    def _carries(self, root: ast.expr, depth: int = 0) -> bool | None:
        """Whether something that requires a gradient is in an expression; ``None`` where that is not known."""
        if root not in self._known:
            self._known[root] = None
            found = [self._name_carries(node, depth) for node in ast.walk(root) if isinstance(node, ast.Name)]
            self._known[root] = True if True in found else None if None in found else False
        return self._known[root]

    def _name_carries(self, name: ast.Name, depth: int) -> bool | None:
        value = self._value(name)
        if value is None:
            return None
        known = self._requires_grad.get(value.lineno)
        if known is None and isinstance(value, ast.Constant):
            return False
        return self._carries(value, depth + 1) if known is None and depth < DEEP else known

    def _behind(self, root: ast.expr) -> Iterator[ast.expr]:
        """What the names in an expression were assigned, and what the functions that it calls return."""
        for node in ast.walk(root):
            if isinstance(node, ast.Name):
                value = self._value(node)
                if value is not None and not self._requires_grad.get(value.lineno):
                    yield value
                yield from self._returned(node)

    def _value(self, name: ast.Name) -> ast.expr | None:
        """What a name was last assigned above its use, in the same function or else in the module."""
        function = self._syntax.function_of(name)
        assigned = self._assigned.get(name.id, [])
        above = bisect_left(assigned, name.lineno, key=lambda node: node.lineno)
        for node in reversed(assigned[max(0, above - NEAR) : above]):
            if self._syntax.function_of(node) in (function, None):
                return node.value
        return None

    def _returned(self, name: ast.Name) -> Iterator[ast.expr]:
        """What a function of the program returns, or the ``forward`` of a module that a name stands for."""
        made = self._value(name)
        maker = made.func.id if isinstance(made, ast.Call) and isinstance(made.func, ast.Name) else None
        kind = self._classes.get(maker) if maker is not None else None
        methods = [node for node in kind.body if isinstance(node, ast.FunctionDef)] if kind is not None else []
        function = self._functions.get(name.id) or next((node for node in methods if node.name == "forward"), None)
        for node in ast.walk(function) if function is not None else ():
            if isinstance(node, ast.Return) and node.value is not None:
                yield node.value

    def _off(self) -> Cut | None:
        """What turns gradients off from a line on, or lets them through only once."""
        for node in self._syntax.statements(ast.Call):
            if isinstance(self._syntax.parent(node), ast.Expr) and self._syntax.turns_off(node):
                return Cut(node.lineno, self._line(node.lineno), "From there on nothing leaves a graph.")
        for function in self._syntax.statements(ast.FunctionDef):
            for mark in function.decorator_list:
                if "once_differentiable" in self._syntax.text(mark):
                    return Cut(mark.lineno, self._line(mark.lineno), "What runs in that backward leaves no graph of its own.")
        return None

    def _line(self, line: int) -> str:
        return self._syntax.lines[line - 1].strip()
