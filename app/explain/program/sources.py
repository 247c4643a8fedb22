"""Follow an expression back to the modules and tensors that it is computed with."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from .losses import bindings
from .modules import module_classes
from .syntax import Syntax, called, variable_name

EXPRESSIONS: Final = 200
"""Largest number of expressions that are followed from one expression."""

_Value = tuple[ast.expr, int | None]
"""An expression, and the index of the item of its value that is meant, if its value is unpacked."""


class ValueSources:
    """The values of a program's names: through assignments, arguments, loops, and the results of its functions and modules.

    If a value is unpacked, as in ``p, z = model(x)``, only the item of each name is followed.
    """

    def __init__(self, syntax: Syntax) -> None:
        self._syntax = syntax
        self._classes = module_classes(syntax)
        self._bound: dict[str, list[_Value]] = {}
        for target, value in bindings(syntax):
            if isinstance(target, ast.Name | ast.Attribute | ast.Subscript):
                self._bind(target.value if isinstance(target, ast.Subscript) else target, (value, None))
            elif isinstance(target, ast.Tuple) and not isinstance(syntax.parent(target), ast.For | ast.comprehension):
                for index, each in enumerate(target.elts):
                    self._bind(each, (value, index))
        self._functions: dict[str, list[ast.FunctionDef]] = {}
        for function in syntax.statements(ast.FunctionDef):
            self._functions.setdefault(function.name, []).append(function)

    def uses(self, root: ast.expr, owner: str) -> bool:
        """Return whether an expression is computed with a module or tensor of this name."""
        waiting: list[_Value] = [(root, None)]
        seen: set[tuple[int, int | None]] = {(id(root), None)}
        while waiting and len(seen) < EXPRESSIONS:
            for node, item in self._parts(*waiting.pop()):
                name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
                if name == owner:
                    return True
                if "[" in owner and isinstance(node, ast.Subscript) and self._syntax.text(node).endswith(owner):
                    return True
                for value in self._before(node, item):
                    if (id(value[0]), value[1]) not in seen:
                        seen.add((id(value[0]), value[1]))
                        waiting.append(value)
        return False

    def _bind(self, target: ast.expr, value: _Value) -> None:
        if (name := variable_name(target)) is not None:
            self._bound.setdefault(name, []).append(value)

    def _parts(self, root: ast.expr, item: int | None) -> Iterator[_Value]:
        """Yield the expressions in an expression. Of a tuple, only the item is meant."""
        if item is not None and isinstance(root, ast.Tuple) and item < len(root.elts):
            root, item = root.elts[item], None
        waiting: list[_Value] = [(root, item)]
        while waiting:
            node, item = waiting.pop()
            yield node, item
            if item is None or not isinstance(node, ast.Call) or not self._results(node):
                inner = [each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.expr_context)]
                waiting += [(each, None) for each in inner]  # type: ignore[misc]

    def _before(self, node: ast.expr, item: int | None) -> list[_Value]:
        """Return the expressions from which the value of a name or call comes."""
        if isinstance(node, ast.Call):
            return [(result, item) for result in self._results(node)]
        values = self._bound.get(variable_name(node) or "", [])
        if not isinstance(node, ast.Name):
            return values
        return values + [(each, item) for each in (*self._arguments(node), *self._iterated(node))]

    def _results(self, call: ast.Call) -> list[ast.expr]:
        """Return the expressions that a function of the program, or the ``forward`` of a module of the program, returns."""
        name = called(call)
        functions = [each for each in self._functions.get(name or "", []) if name != "forward"]
        if not functions and isinstance(call.func, ast.Name):
            made = [value for value, _ in self._bound.get(call.func.id, []) if isinstance(value, ast.Call)]
            classes = {called(value) for value in made} & self._classes
            functions = [each for each in self._functions.get("forward", []) if self._class_of(each) in classes]
        inside = set(functions)
        returns = (each for each in self._syntax.statements(ast.Return) if self._syntax.function_of(each) in inside)
        return [each.value for each in returns if each.value is not None]

    def _class_of(self, function: ast.FunctionDef) -> str | None:
        parent = self._syntax.parent(function)
        return parent.name if isinstance(parent, ast.ClassDef) else None

    def _arguments(self, name: ast.Name) -> list[ast.expr]:
        """Return the arguments that calls pass for a name, if it is a parameter of the function around it."""
        function = self._syntax.function_of(name)
        if function is None:
            return []
        names = [each.arg for each in function.args.args]
        method = names[:1] == ["self"]
        position = names.index(name.id) - method if name.id in names else -1
        if position < 0:
            return []
        calls = (call for call in self._syntax.statements(ast.Call) if called(call) == function.name)
        return [call.args[position] for call in calls if position < len(call.args)]

    def _iterated(self, name: ast.Name) -> list[ast.expr]:
        """Return the values that a loop or a comprehension around a name goes through, if the name is its variable."""
        loops: list[ast.For | ast.comprehension] = []
        around = self._syntax.parent(name)
        while around is not None and not isinstance(around, ast.FunctionDef):
            if isinstance(around, ast.For):
                loops.append(around)
            elif isinstance(around, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
                loops += around.generators
            around = self._syntax.parent(around)
        targets = ((loop.iter, ast.walk(loop.target)) for loop in loops)
        return [
            values for values, inside in targets if any(isinstance(each, ast.Name) and each.id == name.id for each in inside)
        ]
