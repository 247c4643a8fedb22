"""Find the nodes of a graph by their names in a lesson: a variable, or the text of the program that made the node."""

from __future__ import annotations

from collections.abc import Sequence

from ... import model
from .language import BindingError


def find(graph: model.Graph, program: str, name: str) -> list[int]:
    """Return the indices of the nodes with a name, in the order of the graph: from the root downwards.

    Spaces in the text of a program do not count, nor do parentheses around it.
    """
    named = [index for index, node in enumerate(graph.nodes) if node.name == name]
    if named:
        return named
    lines, wanted = model.program_lines(program), _bare(name)
    return [index for index, node in enumerate(graph.nodes) if _bare(_source(node, lines)) == wanted]


def find_one(graph: model.Graph, program: str, name: str, at: int | None = None) -> int:
    """Return the index of one node with a name. ``at`` chooses among several in forward order; by default, the last one.

    Raises :class:`BindingError` if there is none.
    """
    found = find(graph, program, name)
    if not found:
        known = sorted({_source(node, model.program_lines(program)) or node.op for node in graph.nodes} - {""})
        names = sorted({node.name for node in graph.nodes if node.name})
        raise BindingError(f"There is no node `{name}`: there are {', '.join(dict.fromkeys([*names, *known][:20]))}.")
    in_forward_order = found[::-1]
    try:
        return in_forward_order[-1 if at is None else at]
    except IndexError:
        raise BindingError(f"There are {len(found)} nodes `{name}`: none has the index {at}.") from None


def below(graph: model.Graph, start: int) -> list[int]:
    """Return the indices of a node and of all nodes that its gradient reaches."""
    targets: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.gradient:
            targets.setdefault(edge.source, []).append(edge.target)
    index = {node.id: at for at, node in enumerate(graph.nodes)}
    found, left = {start}, [start]
    while left:
        for target in targets.get(graph.nodes[left.pop()].id, []):
            if index[target] not in found:
                found.add(index[target])
                left.append(index[target])
    return sorted(found)


def _source(node: model.Node, lines: Sequence[str]) -> str:
    """Return the text of the program that made a node, if it is within one line of the program."""
    if node.line is None or node.columns is None or node.file is not None or not 1 <= node.line <= len(lines):
        return ""
    return lines[node.line - 1][slice(*node.columns)]


def _bare(text: str) -> str:
    text = "".join(text.split())
    while text.startswith("(") and text.endswith(")") and _closes_last(text):
        text = text[1:-1]
    return text


def _closes_last(text: str) -> bool:
    """Return whether the first parenthesis of a text is closed by its last character."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return at == len(text) - 1
    return False
