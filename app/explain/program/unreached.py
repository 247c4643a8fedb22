"""Find out why no pass reaches a parameter: a line replaced the parameter, or cut it from the loss."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..wording import first_line
from .cuts import Cuts
from .losses import Losses
from .positions import selected
from .sources import ValueSources
from .syntax import Syntax, called
from .unadded import Cause, unadded

CUTS: Final = 200
"""Largest number of cuts of a program that are examined."""


def replaced(syntax: Syntax, names: Sequence[str], reached: Iterable[str], optimizer: str) -> Cause | None:
    """Return the line that replaced these parameters after the optimizer was made.

    Passes then reach the new parameters, which have the old names. ``optimizer`` is the name of the optimizer's class.
    """
    reached = set(reached)
    calls = [call for call in syntax.statements(ast.Call) if called(call) == optimizer]
    root = names[0].split(".")[0]
    of_root = [call.lineno for call in calls if any(_mentions(argument, root) for argument in call.args)]
    made = max(of_root or [call.lineno for call in calls], default=None)
    if made is None:
        return None
    for statement in syntax.statements(ast.Assign):
        if statement.lineno > made and _replaces(syntax, statement.targets[0], names, reached):
            why = (
                f"Line {statement.lineno} replaces `{syntax.text(statement.targets[0])}` after line {made} has made the "
                "optimizer, which still has the old parameters. The new parameters get gradients but never change. Make the "
                "optimizer after the replacement."
            )
            return Cause(statement.lineno, why, True)
    return None


def _replaces(syntax: Syntax, target: ast.expr, names: Sequence[str], reached: set[str]) -> bool:
    """Return whether an assignment to ``target`` replaces the parameters with these names by others that passes reach."""
    if isinstance(target, ast.Name):
        root = f"{target.id}."
        return all(name.startswith(root) for name in names) and any(name.startswith(root) for name in reached)
    if not isinstance(target, ast.Attribute | ast.Subscript) or not set(names) <= reached:
        return False
    path = syntax.text(target).replace("[", ".").replace("]", "")
    return any(f".{path.partition('.')[2] or path}." in f".{name}." for name in names)


def cut(syntax: Syntax, names: Sequence[str], reached: Sequence[str], *, anywhere: bool = False) -> Cause | None:
    """Return the first line that cuts the graph of a value computed with all these parameters. No pass reaches any of them.

    Only loops and functions are searched, unless ``anywhere`` is true: lines outside them often prepare data.
    The cut counts as a mistake, unless the program writes to the parameters itself, as for a target network.
    """
    names = [name for name in names if name not in reached] or names  # all are reached if each step makes new parameters
    parts = {part for name in reached for part in name.split(".")}
    owners = {_owner(name) for name in names}
    if owners & parts:  # another layer of the same list is reached
        owners = {_item(name) for name in names}
        if not all("[" in owner for owner in owners) or owners & {_item(name) for name in reached}:
            return None
    losses, sources = Losses(syntax), ValueSources(syntax)
    found = (
        each
        for each in _candidates(syntax, anywhere=anywhere)
        if (each.written or losses.contain(each.node)) and all(sources.uses(each.operand, owner) for owner in owners)
    )
    drawn: _Candidate | None = None  # an action of a policy has no gradient on purpose, so another cut counts first
    for each in found:
        if not isinstance(each.node, ast.Call) or called(each.node) != "sample":
            return _cause(syntax, each, owners)
        drawn = drawn or each
    return _cause(syntax, drawn, owners) if drawn is not None else unadded(syntax, losses, sources, owners)


def _cause(syntax: Syntax, cut: _Candidate, owners: set[str]) -> Cause:
    where = f"`{first_line(syntax.text(cut.node))}` on line {cut.node.lineno}"
    why = f"{where} cuts the graph: {cut.why}" if cut.line is None else f"Line {cut.line} cuts the graph: {cut.why}"
    certain = not cut.setting and not any(_written(syntax, owner) for owner in owners)
    return Cause(cut.line or cut.node.lineno, why, certain)


@dataclass(frozen=True)
class _Candidate:
    """An expression that cuts the graph of its operand. ``line`` is another line that causes the cut, if there is one.

    ``written`` is true if a statement writes the expression to a tensor, and ``setting`` if a variable turns gradients off.
    """

    node: ast.expr
    operand: ast.expr
    why: str
    line: int | None = None
    written: bool = False
    setting: bool = False


def _candidates(syntax: Syntax, *, anywhere: bool) -> Iterator[_Candidate]:
    """Yield expressions that cut a graph, in the order of their lines: those in loops and functions, or all."""
    cuts = Cuts(syntax, {})
    count = 0
    for node in syntax.statements(ast.expr):
        if count >= CUTS:
            return
        if (anywhere or syntax.in_loop(node)) and (found := _candidate(syntax, cuts, node)) is not None:
            count += 1
            yield found


def _candidate(syntax: Syntax, cuts: Cuts, node: ast.expr) -> _Candidate | None:
    """Return the cut of an expression that itself cuts a graph; ``None`` for any other expression."""
    name = called(node) if isinstance(node, ast.Call) else None
    first = node.args[0] if isinstance(node, ast.Call) and node.args else None
    if name == "Parameter" and first is not None:
        why = "`nn.Parameter` makes a new leaf from the numbers. No path leads back to the tensors that they come from."
        return _Candidate(node, first, why)
    if name in ("checkpoint", "checkpoint_sequential") and first is not None and _reentrant(node):
        why = (
            "with `use_reentrant=True`, a checkpoint has a graph only if one of its inputs requires a gradient. "
            "Use `use_reentrant=False`."
        )
        return _Candidate(node, first, why)
    if (found := cuts.at(node)) is not None:
        why = found.why if found.why.startswith("`") else found.why[:1].lower() + found.why[1:]
        return _Candidate(node, found.operand, why)
    parent = syntax.parent(node)
    if (of := _positions(syntax, node)) is not None:
        why = "only the positions that it returns are used. They are integers, which have no gradient. Use the values too."
        return _Candidate(node, of, why)
    if isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Attribute) and parent.targets[0].attr == "data":
        return _Candidate(node, node, "an assignment to `.data` writes the numbers, without their graph.", written=True)
    if isinstance(parent, ast.Assign | ast.Return) and (line := syntax.no_grad_line(parent)) is not None:
        return _Candidate(node, node, f"line {node.lineno} runs without gradients.", line)
    if isinstance(parent, ast.Assign | ast.Return) and (setting := _setting(syntax, parent)) is not None:
        line = setting.lineno
        return _Candidate(node, node, f"`{syntax.text(setting)}` turns gradients off in this run.", line, setting=True)
    return None


def _setting(syntax: Syntax, node: ast.AST) -> ast.expr | None:
    """Return the call around a statement that sets gradients by a variable whose only value in the program is ``False``."""
    while (parent := syntax.parent(node)) is not None:
        for expression in [item.context_expr for item in parent.items] if isinstance(parent, ast.With) else ():
            match expression:
                case ast.Call(args=[ast.Name(id=name)]) if called(expression) == "set_grad_enabled":
                    values = syntax.assigned(name)
                    if values and all(isinstance(each, ast.Constant) and each.value is False for each in values):
                        return expression
        node = parent
    return None


def _positions(syntax: Syntax, node: ast.expr) -> ast.expr | None:
    """Return the operand of a call such as ``top, at = x.max(1)``, if nothing reads its values, but only the positions."""
    match syntax.parent(node):
        case ast.Assign(targets=[ast.Tuple(elts=[ast.Name(id=values), ast.Name()])], value=ast.Call() as call) if call is node:
            function = syntax.function_of(node)
            names = (each for each in syntax.statements(ast.Name) if each.id == values and isinstance(each.ctx, ast.Load))
            return selected(call) if all(syntax.function_of(each) is not function for each in names) else None
    return None


_WRITES: Final = frozenset({"load_state_dict", "copy_", "lerp_", "update_parameters"})
_KEPT: Final = ("target", "teacher", "ema", "momentum", "frozen", "old", "reference")
"""Parts of names of networks that a program usually updates itself, or not at all."""


def _written(syntax: Syntax, owner: str) -> bool:
    """Return whether the program changes the parameters of a module without a gradient, or the module's name suggests it."""
    if any(part in _KEPT for part in owner.lower().split("_")):
        return True
    loops = (
        node.iter
        for node in syntax.statements(ast.For)
        if "parameters(" in syntax.text(node.iter) and "zip" in syntax.text(node.iter)
    )
    calls = (
        call.func.value
        for call in syntax.statements(ast.Call)
        if isinstance(call.func, ast.Attribute) and call.func.attr in _WRITES and syntax.in_loop(call)
    )
    return any(_mentions(expression, owner) for expression in (*loops, *calls))


def _mentions(root: ast.expr, owner: str) -> bool:
    return any(owner == (getattr(node, "id", None) or getattr(node, "attr", None)) for node in ast.walk(root))


def _reentrant(call: ast.expr) -> bool:
    """Return whether a checkpoint is reentrant, which it is by default."""
    keywords = call.keywords if isinstance(call, ast.Call) else []
    given = next((keyword.value for keyword in keywords if keyword.arg == "use_reentrant"), None)
    return given is None or (isinstance(given, ast.Constant) and given.value is True)


def _item(name: str) -> str:
    """Return the item of a list of layers that has a parameter, or what :func:`_owner` returns if there is no such list.

    >>> _item("net.layers.0.weight"), _item("layers.1.2.bias"), _item("net.gate.weight")
    ('layers[0]', 'layers[1]', 'gate')
    """
    parts = name.split(".")
    at = next((index for index, part in enumerate(parts) if index and part.isdigit()), None)
    return f"{parts[at - 1]}[{parts[at]}]" if at is not None else _owner(name)


def _owner(name: str) -> str:
    """Return the name by which a program refers to a parameter: the name of its module, or its own name.

    >>> _owner("net.gate.weight"), _owner("block.0.bias"), _owner("w")
    ('gate', 'block', 'w')
    """
    parts = [part for part in name.split(".") if not part.isdigit()]
    return parts[-2] if len(parts) > 1 else parts[0] if parts else name
