"""Parse the attributes and items that a statement assigns to."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal, NamedTuple


class Access(NamedTuple):
    """One step from an object to a part of it: an attribute, an index, a key, or a variable that contains an index or key."""

    kind: Literal["attribute", "item", "variable"]
    key: str | int

    def __str__(self) -> str:
        return f".{self.key}" if self.kind == "attribute" else f"[{self.key!r}]" if self.kind == "item" else f"[{self.key}]"


@dataclass(frozen=True, slots=True)
class AssignmentTarget:
    """An attribute or an item that a statement assigns to: a variable, and the accesses from there."""

    variable: str
    accesses: tuple[Access, ...]

    def __str__(self) -> str:
        return self.variable + "".join(map(str, self.accesses))


def assignment_targets(targets: list[ast.expr]) -> tuple[AssignmentTarget | None, ...]:
    """Return the attribute or item at each position of the targets; empty if there are no attributes or items."""
    parts = targets[0].elts if len(targets) == 1 and isinstance(targets[0], ast.Tuple | ast.List) else targets
    found = tuple(_target(part) for part in parts)
    return found if any(found) else ()


def _target(node: ast.expr) -> AssignmentTarget | None:
    accesses: list[Access] = []
    while not isinstance(node, ast.Name):
        access = _access(node)
        if access is None:
            return None
        accesses.append(access)
        node = node.value  # type: ignore[attr-defined]
    return AssignmentTarget(node.id, tuple(reversed(accesses))) if accesses else None


def _access(node: ast.expr) -> Access | None:
    """Return the access at the end of an expression, or ``None`` for any other kind of expression."""
    match node:
        case ast.Attribute(attr=name):
            return Access("attribute", name)
        case ast.Subscript(slice=ast.Name(id=name)):
            return Access("variable", name)
        case ast.Subscript(slice=ast.Constant(value=str() | int() as key)):
            return Access("item", key)
        case ast.Subscript(slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as key))):
            return Access("item", -key)
    return None
