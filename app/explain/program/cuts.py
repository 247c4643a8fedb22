"""Find the line that cut the graph of a tensor: the cut nearest to the call that requested a gradient.

The program's text gives the candidates, and the recording decides between them: ``detach()`` is a cut only if the detached
tensor required a gradient.
"""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from .positions import indices
from .syntax import Syntax

MODULES = frozenset({"torch", "F", "functional", "np", "numpy"})
"""Names of modules whose functions take the tensor as their first argument."""
NUMBER_METHODS = frozenset({"item", "tolist", "numpy"})
NUMBER_BUILTINS = frozenset({"float", "int", "round"})
"""Methods and built-in functions that return plain numbers."""
CONSTRUCTORS = frozenset({"tensor", "as_tensor", "from_numpy", "FloatTensor", "Tensor", "array", "asarray"})
"""Functions that make a new tensor from numbers."""
SHARING = frozenset({"from_numpy", "as_tensor", "asarray"})
"""Constructors whose tensor uses the memory of the numbers, without a copy."""
INTEGER_METHODS = frozenset(
    {"argmax", "argmin", "argsort", "long", "int", "bool", "short", "byte", "nonzero", "bincount", "multinomial"}
)
"""Methods that return integers."""
NEAR = 50
"""Largest number of cuts that are examined in one expression, and of assignments to a name that are examined before its use."""
MOST_EXPRESSIONS = 200
"""Largest number of expressions that are searched. A cut that is further away hardly explains the failure."""
MOST_ASSIGNMENTS = 20
"""Largest number of assignments that are followed to decide whether a name requires a gradient."""


@dataclass(frozen=True)
class Cut:
    """Code of the program that ends a graph: its line and text, and the reason.

    ``removed`` is the cut expression with the expression that can replace it, ``None`` if it cannot be removed.
    """

    line: int
    text: str
    why: str
    removed: tuple[CutExpression, ast.expr] | None = None


@dataclass(frozen=True)
class CutExpression:
    """An expression that cuts the graph of its ``operand``.

    ``removable`` is true if the operand can replace the whole expression. ``no_grad_line`` is the line that turns gradients off
    for the expression, if there is one.
    """

    node: ast.expr
    operand: ast.expr
    why: str
    removable: bool = False
    no_grad_line: int | None = None


class Cuts:
    """Searches a program for cuts. ``requires_grad`` maps lines to whether their last value required a gradient."""

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
        self._carries_cache: dict[ast.expr, bool | None] = {}

    def nearest(self, root: ast.expr) -> Cut | None:
        """Return the cut nearest to an expression, following assignments and the program's functions."""
        sure: list[CutExpression] = []
        unsure: list[CutExpression] = []
        seen: set[ast.AST] = set()
        waiting = deque([root])
        while waiting and len(seen) < MOST_EXPRESSIONS:
            expression = waiting.popleft()
            if expression in seen:
                continue
            seen.add(expression)
            covered: set[ast.AST] = set()
            for found in islice(self._cuts_in(expression), NEAR):
                carries = self._carries(found.operand)
                if carries is False or found.node in covered:
                    continue
                (sure if carries else unsure).append(found)
                covered.update(islice(ast.walk(found.node), MOST_EXPRESSIONS))
            waiting.extend(islice(self._sources(expression), MOST_EXPRESSIONS))
        if not sure and not unsure:
            return self._global_cut()
        return self._cut((sure or unsure)[0], only=len(sure) + len(unsure) == 1)

    def _cuts_in(self, root: ast.expr) -> Iterator[CutExpression]:
        """Yield the cuts in an expression, the outermost first."""
        statement = self._syntax.statement_of(root)
        no_grad_line = self._syntax.no_grad_line(statement) if statement is not None else None
        if no_grad_line is not None:
            why = f"It turns gradients off, so line {root.lineno} builds no graph."
            yield CutExpression(root, root, why, no_grad_line=no_grad_line)
        for node in ast.walk(root):
            found = self.at(node)
            if found is not None:
                yield found

    def at(self, node: ast.AST) -> CutExpression | None:
        """Return the cut at a node of the syntax tree, or ``None`` if the node is not a cut."""
        if isinstance(node, ast.Compare):
            return CutExpression(node, node.left, "A comparison returns True or False, which has no slope and so no gradient.")
        if isinstance(node, ast.expr) and (operand := indices(node)) is not None:
            return CutExpression(node, operand, "It returns positions, which are integers and have no gradient.")
        if isinstance(node, ast.Attribute) and node.attr == "data":
            return CutExpression(node, node.value, "`.data` returns the values without their graph.", removable=True)
        if not isinstance(node, ast.Call):
            return None
        method = node.func.value if isinstance(node.func, ast.Attribute) else None
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0] if node.args else None
        operand = first if method is None or getattr(method, "id", None) in MODULES else method
        if name == "grad" and first is not None and all(keyword.arg != "create_graph" for keyword in node.keywords):
            return CutExpression(node, first, "Without `create_graph=True` the gradient is returned without a graph.")
        if operand is None or isinstance(operand, ast.Constant):
            return None
        if name in ("detach", "detach_"):
            return CutExpression(node, operand, "`detach()` returns the values without their graph.", removable=True)
        if name in CONSTRUCTORS and first is not None:
            how = "copies the numbers into a new tensor" if name not in SHARING else "makes a new tensor from the same memory"
            why = f"It {how}, which has no graph."
            simple = name == "tensor" and len(node.args) == 1 and not node.keywords
            return CutExpression(node, first, why, removable=simple and self._is_tensor(first))
        if name == "sample" and isinstance(method, ast.Call | ast.Name) and not node.args:
            why = "`sample()` draws numbers without a graph. `rsample()` keeps the graph, if the distribution has it."
            return CutExpression(node, operand, why)
        if name in INTEGER_METHODS and method is not None:
            return CutExpression(node, operand, "It returns integers, which have no slope and so no gradient.")
        if name in (NUMBER_METHODS if method is not None else NUMBER_BUILTINS):
            return CutExpression(node, operand, "It returns plain numbers, which have no graph.", removable=name == "item")
        return None

    def _is_tensor(self, node: ast.expr) -> bool:
        """Return whether an expression is the name of a recorded tensor, or reads the numbers of one."""
        inner = self.at(node)
        if inner is not None:
            return inner.removable
        value = self._value(node) if isinstance(node, ast.Name) else None
        return value is not None and value.lineno in self._requires_grad

    def _cut(self, found: CutExpression, *, only: bool) -> Cut:
        """Return a cut, and how to remove it if it is the only cut and is removable."""
        if found.no_grad_line is not None:
            return Cut(found.no_grad_line, self._line(found.no_grad_line), found.why)
        removed = None
        if found.removable and only and not self._of_state(found):
            kept = found.operand
            while (inner := self.at(kept)) is not None and inner.removable:
                kept = inner.operand
            removed = (found, kept)
        return Cut(found.node.lineno, self._syntax.text(found.node), found.why, removed)

    def _of_state(self, found: CutExpression) -> bool:
        """Return whether a cut detaches a value carried over from an earlier iteration, as in a recurrent network."""
        statement = self._syntax.statement_of(found.node)
        if not isinstance(statement, ast.Assign) or not self._syntax.in_loop(statement):
            return False
        given = {each.id for target in statement.targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        around = self._syntax.parent(statement)
        earlier = {
            name
            for name in given
            for each in self._assigned.get(name, [])
            if each.lineno < statement.lineno and self._syntax.parent(each) is around
        }
        return any(isinstance(each, ast.Name) and each.id in given - earlier for each in ast.walk(found.operand))

    def _carries(self, root: ast.expr, depth: int = 0) -> bool | None:
        """Return whether an expression contains a tensor that requires a gradient, ``None`` if that is unknown."""
        if root not in self._carries_cache:
            self._carries_cache[root] = None
            found = [self._name_carries(node, depth) for node in ast.walk(root) if isinstance(node, ast.Name)]
            if any(isinstance(node, ast.keyword) and node.arg == "requires_grad" for node in ast.walk(root)):
                found.append(None)
            self._carries_cache[root] = True if True in found else None if None in found else False
        return self._carries_cache[root]

    def _name_carries(self, name: ast.Name, depth: int) -> bool | None:
        value = self._value(name)
        if value is None:
            return False if name.id in MODULES else None
        recorded = self._requires_grad.get(value.lineno)
        if recorded is None and isinstance(value, ast.Constant):
            return False
        return self._carries(value, depth + 1) if recorded is None and depth < MOST_ASSIGNMENTS else recorded

    def _sources(self, root: ast.expr) -> Iterator[ast.expr]:
        """Yield the values of the names in an expression: assigned values, and the results of functions with these names."""
        for node in ast.walk(root):
            if isinstance(node, ast.Name):
                value = self._value(node)
                if value is not None and not self._requires_grad.get(value.lineno):
                    yield value
                yield from self._returned(node)

    def _value(self, name: ast.Name) -> ast.expr | None:
        """Return the value last assigned to a name above its use, in the same function or in the module."""
        function = self._syntax.function_of(name)
        assigned = self._assigned.get(name.id, [])
        above = bisect_left(assigned, name.lineno, key=lambda node: node.lineno)
        for node in reversed(assigned[max(0, above - NEAR) : above]):
            if self._syntax.function_of(node) in (function, None):
                return node.value
        return None

    def _returned(self, name: ast.Name) -> Iterator[ast.expr]:
        """Yield the expressions that the function of this name returns, or the ``forward`` of the module of this name."""
        value = self._value(name)
        class_name = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else None
        definition = self._classes.get(class_name) if class_name is not None else None
        methods = [node for node in definition.body if isinstance(node, ast.FunctionDef)] if definition is not None else []
        function = self._functions.get(name.id) or next((node for node in methods if node.name == "forward"), None)
        for node in ast.walk(function) if function is not None else ():
            if isinstance(node, ast.Return) and node.value is not None:
                yield node.value

    def _global_cut(self) -> Cut | None:
        """Return a call that turns gradients off for all later lines, or a decorator that allows only one derivative."""
        for node in self._syntax.statements(ast.Call):
            if isinstance(self._syntax.parent(node), ast.Expr) and self._syntax.turns_off(node):
                return Cut(node.lineno, self._line(node.lineno), "From that line on, no operation builds a graph.")
        for function in self._syntax.statements(ast.FunctionDef):
            for decorator in function.decorator_list:
                if "once_differentiable" in self._syntax.text(decorator):
                    why = "The operations inside that `backward` build no graph."
                    return Cut(decorator.lineno, self._line(decorator.lineno), why)
        return None

    def _line(self, line: int) -> str:
        return self._syntax.lines[line - 1].strip()
