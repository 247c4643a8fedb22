"""Find out why no pass reaches a parameter: the line that replaced it, or that cut it from the loss."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .cuts import Cuts
from .syntax import Syntax, called
from .wording import first_line

CUTS: Final = 200
"""Largest number of cuts of a program that are examined."""


@dataclass(frozen=True)
class Cause:
    """A line, a sentence that says what it does, and whether that is certainly a mistake."""

    line: int
    why: str
    certain: bool


def replaced(syntax: Syntax, names: Sequence[str], reached: Iterable[str], optimizer: str) -> Cause | None:
    """Return the line that replaced these parameters after the optimizer was made.

    The optimizer's parameters have names under which passes reach other parameters. ``optimizer`` is the name of its class.
    """
    if not set(names) <= set(reached):
        return None
    made = next((call.lineno for call in syntax.statements(ast.Call) if called(call) == optimizer), None)
    if made is None:
        return None
    for statement in syntax.statements(ast.Assign):
        target = statement.targets[0]
        if statement.lineno > made and isinstance(target, ast.Attribute | ast.Subscript):
            path = syntax.text(target).replace("[", ".").replace("]", "")
            if all(f".{name}.".find(f".{path.partition('.')[2] or path}.") >= 0 for name in names):
                why = (
                    f"Line {statement.lineno} replaces `{syntax.text(target)}` after line {made} has made the optimizer, which "
                    "still holds the old parameters. The new parameters get gradients but never change. Make the optimizer "
                    "after the replacement."
                )
                return Cause(statement.lineno, why, True)
    return None


def cut(syntax: Syntax, names: Sequence[str], reached: Sequence[str]) -> Cause | None:
    """Return the first line that cuts the graph of a value computed with all these parameters. No pass reaches any of them."""
    owners = {_owner(name) for name in names}
    if len(owners) != 1 or (owner := owners.pop()) in {part for name in reached for part in name.split(".")}:
        return None
    for found in _candidates(syntax):
        if _uses(syntax, found.operand, owner):
            why = f"`{first_line(syntax.text(found.node))}` on line {found.node.lineno} cuts the graph: {found.why}"
            return Cause(found.node.lineno, why, found.certain)
    return None


@dataclass(frozen=True)
class _Candidate:
    """An expression that cuts the graph of its operand."""

    node: ast.expr
    operand: ast.expr
    why: str
    certain: bool


def _candidates(syntax: Syntax) -> Iterator[_Candidate]:
    """Yield expressions that cut a graph, in the order of their lines."""
    cuts = Cuts(syntax, {})
    count = 0
    for call in syntax.statements(ast.Call):
        if count >= CUTS or not syntax.in_loop(call):
            continue
        name, first = called(call), call.args[0] if call.args else None
        if name == "Parameter" and first is not None:
            why = "`nn.Parameter` makes a new leaf from the numbers, which has no connection to what they were computed from."
            yield _Candidate(call, first, why, True)
        elif name == "checkpoint" and first is not None and _reentrant(call):
            why = (
                "with `use_reentrant=True`, a checkpoint has a graph only if one of its inputs requires a gradient. "
                "Use `use_reentrant=False`."
            )
            yield _Candidate(call, first, why, True)
        elif (found := cuts.at(call)) is not None:
            explicit = name in ("detach", "detach_", "item", "numpy", "tolist", "float")
            why = found.why if found.why.startswith("`") else found.why[:1].lower() + found.why[1:]
            yield _Candidate(call, found.operand, why, not explicit and not syntax.printed(call))
        else:
            continue
        count += 1


def _reentrant(call: ast.Call) -> bool:
    """Return whether a checkpoint is reentrant, which it is by default."""
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "use_reentrant"), None)
    return given is None or (isinstance(given, ast.Constant) and given.value is True)


def _uses(syntax: Syntax, root: ast.expr, owner: str) -> bool:
    """Return whether an expression is computed with a module or tensor of this name, through assigned names."""
    waiting, seen = [root], set[str]()
    while waiting and len(seen) < CUTS:
        for node in ast.walk(waiting.pop()):
            name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
            if name == owner:
                return True
            if isinstance(node, ast.Name) and node.id not in seen:
                seen.add(node.id)
                waiting += syntax.assigned(node.id)
    return False


def _owner(name: str) -> str:
    """Return the name by which a program refers to a parameter: that of its module, or that of the tensor itself.

    >>> _owner("net.gate.weight"), _owner("block.0.bias"), _owner("w")
    ('gate', 'block', 'w')
    """
    parts = [part for part in name.split(".") if not part.isdigit()]
    return parts[-2] if len(parts) > 1 else parts[0] if parts else name
