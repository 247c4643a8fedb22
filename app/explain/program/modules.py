"""Find the attributes of modules that PyTorch does not register: lists of layers or parameters, and plain tensors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from .syntax import Syntax, called

LAYERS: Final = 100
"""Largest number of elements of a list that are searched for a layer."""
_CONTAINERS: Final = frozenset({"append", "extend", "insert"})


@dataclass(frozen=True)
class Unregistered:
    """An attribute of a module that ``parameters()`` does not return.

    ``value`` is the expression that makes the layers or the tensor.
    """

    attribute: str
    value: ast.expr
    kind: Literal["list", "dict", "tensor", "parameters"]
    definition: ast.ClassDef

    @property
    def line(self) -> int:
        """The line that makes the value."""
        return self.value.lineno


def unregistered(syntax: Syntax) -> Iterator[Unregistered]:
    """Yield the attributes of modules that are lists or dicts of layers, or tensors that require a gradient."""
    classes = module_classes(syntax)
    lists: set[tuple[str, str]] = set()
    dicts: set[tuple[str, str]] = set()
    for statement in syntax.statements(ast.Assign):
        definition = _class_of(syntax, statement)
        attribute = _of_self(statement.targets[0])
        if definition is None or definition.name not in classes or attribute is None:
            continue
        if isinstance(statement.value, ast.List) and not statement.value.elts:
            lists.add((definition.name, attribute))
        if isinstance(statement.value, ast.Dict) and not statement.value.keys:
            dicts.add((definition.name, attribute))
        kind = _kind(statement.value, classes)
        if kind is None and isinstance(statement.value, ast.Name):
            kind = "list" if _is_list_of_layers(syntax, statement, statement.value.id, classes) else None
        if kind is not None:
            yield Unregistered(attribute, statement.value, kind, definition)
    for statement in syntax.statements(ast.Assign) if dicts else ():
        definition, target = _class_of(syntax, statement), statement.targets[0]
        owner = _of_self(target.value) if isinstance(target, ast.Subscript) else None
        if definition is None or owner is None or (definition.name, owner) not in dicts:
            continue
        if makes_layer(statement.value, classes):
            yield Unregistered(owner, statement.value, "dict", definition)
    for call in syntax.statements(ast.Call) if lists else ():
        definition = _class_of(syntax, call)
        owner = _of_self(call.func.value) if isinstance(call.func, ast.Attribute) else None
        if definition is None or owner is None or (definition.name, owner) not in lists or called(call) not in _CONTAINERS:
            continue
        if any(makes_layer(each, classes) for each in call.args):
            yield Unregistered(owner, call, "list", definition)


def module_classes(syntax: Syntax) -> set[str]:
    """Return the names of the program's classes that derive from ``nn.Module``."""
    bases = {
        node.name: {syntax.text(base).rpartition(".")[2] for base in node.bases} for node in syntax.statements(ast.ClassDef)
    }
    found: set[str] = set()
    while more := {name for name, of in bases.items() if name not in found and of & {"Module", *found}}:
        found |= more
    return found


def makes_layer(node: ast.expr, classes: set[str]) -> bool:
    """Return whether an expression makes a layer, as ``nn.Linear(…)`` does, or one of the program's own modules."""
    if not isinstance(node, ast.Call):
        return False
    name = called(node) or ""
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    of_nn = (isinstance(owner, ast.Name) and owner.id == "nn") or (isinstance(owner, ast.Attribute) and owner.attr == "nn")
    return name in classes or (of_nn and name[:1].isupper() and name not in ("Parameter", "ModuleList", "ModuleDict"))


def _kind(value: ast.expr, classes: set[str]) -> Literal["list", "dict", "tensor", "parameters"] | None:
    match value:
        case (
            ast.List(elts=[ast.Call() as element, *_])
            | ast.ListComp(elt=ast.Call() as element)
            | ast.Call(func=ast.Name(id="tuple" | "list"), args=[ast.GeneratorExp(elt=ast.Call() as element)])
        ) if called(element) == "Parameter":
            return "parameters"
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return "list" if any(makes_layer(each, classes) for each in elements[:LAYERS]) else None
        case ast.Call(func=ast.Name(id="tuple" | "list"), args=[ast.GeneratorExp(elt=element)]):
            return "list" if makes_layer(element, classes) else None
        case ast.ListComp(elt=element):
            return "list" if makes_layer(element, classes) else None
        case ast.BinOp(left=left, op=ast.Mult() | ast.Add(), right=right):
            return _kind(left, classes) or _kind(right, classes)
        case ast.Dict(values=values):
            return "dict" if any(makes_layer(each, classes) for each in values[:LAYERS]) else None
        case ast.DictComp(value=element):
            return "dict" if makes_layer(element, classes) else None
        case ast.Call(func=ast.Attribute(attr="requires_grad_")):
            return "tensor"
        case ast.Call(keywords=keywords):
            given = (keyword.value for keyword in keywords if keyword.arg == "requires_grad")
            makes = called(value) != "Parameter" and any(
                isinstance(each, ast.Constant) and each.value is True for each in given
            )
            return "tensor" if makes else None
    return None


def _is_list_of_layers(syntax: Syntax, statement: ast.Assign, name: str, classes: set[str]) -> bool:
    """Return whether a local name is a list of layers: the function of a statement makes it with layers, or adds layers."""
    function = syntax.function_of(statement)
    values = [value for value in syntax.assigned(name) if syntax.function_of(value) is function]
    if any(_kind(value, classes) == "list" for value in values):
        return True
    return any(isinstance(value, ast.List) for value in values) and any(
        called(call) in _CONTAINERS
        and isinstance(call.func, ast.Attribute)
        and syntax.text(call.func.value) == name
        and syntax.function_of(call) is function
        and any(makes_layer(each, classes) for each in call.args)
        for call in syntax.statements(ast.Call)
    )


def _class_of(syntax: Syntax, node: ast.AST) -> ast.ClassDef | None:
    function = syntax.function_of(node)
    parent = syntax.parent(function) if function is not None else None
    return parent if isinstance(parent, ast.ClassDef) else None


def _of_self(node: ast.expr) -> str | None:
    """Return the name of an attribute of ``self``."""
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return None
