"""Find the statement that replaced a leaf by a tensor computed from it, after an exception of autograd."""

from __future__ import annotations

import ast
import re
from typing import Final

from ..program.syntax import Syntax
from .failure import Failure
from .passes import NODES, GraphOfPass

_MODULES: Final = frozenset({"torch", "F", "nn", "math", "np"})


def replaced_leaf(failure: Failure) -> ast.Assign | None:
    """Return the statement of the failed operation if it replaces a leaf, such as ``w[0] = w[0].clamp(0, 1)``.

    Nothing but that statement has computed the tensor from the leaf, once in each iteration. A statement that also reads the
    leaf itself, such as ``h = torch.tanh(w * h)``, computes a state instead.
    """
    exception, syntax = failure.exception, failure.syntax
    node = exception.node
    if node is None or node.file is not None or exception.pass_ is None:
        return None
    this = failure.recording.log.pass_(exception.pass_)
    statement = syntax.statement(node.line or 0)
    sizes = failure.recording.log.graph_sizes()
    if not isinstance(statement, ast.Assign) or not _reads_target(syntax, statement) or sizes[this.graph][0] > NODES:
        return None
    graph = GraphOfPass(failure.recording, this.index, this.step, this.graph)
    leaves = _leaves(graph, int(node.id[1:]), statement)
    if leaves is None or len(leaves) != 1:
        return None
    (parameter,) = leaves
    named = {part for name in failure.recording.parameters()[parameter].names for part in re.findall(r"[^\W\d]\w*", name)}
    target = {part for each in ast.walk(statement.targets[0]) if (part := _part(each)) is not None}
    read = {part for each in ast.walk(statement.value) if (part := _part(each)) is not None} - target - _MODULES
    return statement if read.isdisjoint(named) else None


def _leaves(graph: GraphOfPass, node: int, statement: ast.Assign) -> set[int] | None:
    """Return the indices of the parameters below a node; ``None`` if another statement takes part in the computation."""
    found: set[int] = set()
    waiting, seen = [node], {node}
    while waiting:
        at = waiting.pop()
        row = graph.nodes[at]
        if row.kind == "leaf" and row.parameter is not None:
            found.add(int(row.parameter[1:]))
        elif row.kind == "op" and not statement.lineno <= (row.line or 0) <= (statement.end_lineno or 0):
            return None
        for each in graph.inputs(at):
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return found


def _reads_target(syntax: Syntax, statement: ast.Assign) -> bool:
    """Return whether the value of a statement contains its only target."""
    target = syntax.text(statement.targets[0])
    values = (each for each in ast.walk(statement.value) if isinstance(each, ast.expr))
    return len(statement.targets) == 1 and any(syntax.text(each) == target for each in values)


def _part(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
