"""Name nodes, passes and graphs for a person: a node's name in the program, its operation, and its line.

All text from a program is cleaned here. Characters that XML forbids, or that change the reading direction, are replaced.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from ..model import Edge, Graph, Node, PassKind, program_lines
from ..recording import PassNumbers
from . import numerals

PASS_NAMES: Final[dict[PassKind, str]] = {
    "backward": "backward()",
    "grad": "torch.autograd.grad()",
    "nested": "a nested pass",
    "implicit": "implicit backward()",
}
"""Names of the kinds of passes in captions and descriptions."""
LONGEST: Final = 200
"""Largest number of characters of any text. Neither a picture nor a tooltip has room for more."""

# C0 and C1 control characters, surrogates, non-characters, and the marks that reorder or hide the text after them.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff]")
_UPDATE = re.compile(r"[\w.\[\]]+ ?(?:[-+*/%@&|^]|//|\*\*|<<|>>)=")
"""The start of an assignment such as ``y += 1``, whose text has the name already."""
_PLAIN = re.compile(r"[ -~]*\Z")


@lru_cache(maxsize=4096)
def clean(text: str, longest: int = LONGEST) -> str:
    """Return the text on one line, without characters that cannot be drawn.

    >>> clean("a\\n  b\\x00\\u202ec")
    'a b··c'
    """
    text = text[: 4 * longest]
    if not _PLAIN.match(text):
        text = _UNFIT.sub("·", re.sub(r"[\t\n\r\f\v]", " ", text))
    if "  " in text:
        text = re.sub(" {2,}", " ", text)
    text = text.strip()
    return text if len(text) <= longest else text[: longest - 1] + "…"


class ProgramText:
    """The lines of a program, for looking up the expression that made a node."""

    def __init__(self, program: str) -> None:
        self._lines = program_lines(program)

    def expression(self, node: Node) -> str | None:
        """Return the expression that made a node; ``None`` if its location is unknown or in another file.

        With ``create_graph=True``, the backward formula of one node makes other nodes. If such a node has no name, the text
        refers to the node that has the formula.
        """
        if node.backward_of is not None and not node.name:
            first = node.backward_of.node
            return clean(("sum of gradients of " if first.kind == "leaf" else "backward of ") + self.title(first))
        if node.file is not None or node.line is None or node.columns is None or not 1 <= node.line <= len(self._lines):
            return None
        line = self._lines[node.line - 1]
        start, end = node.columns
        found = clean(line[start:end] if end > start else line[start:])
        return found or None

    def title(self, node: Node) -> str:
        """Return a node's code, such as ``y_pred = m * x``, ``y_pred - y`` or ``m``, or else the name of its class.

        A node that a module computed internally is named after the module.

        >>> multiply = Node("n0", "op", "MulBackward0", None, "y", None, 1, (4, 9), "", 1, [], None)
        >>> ProgramText("y = m * x").title(multiply)
        'y = m * x'
        >>> add = Node("n1", "op", "AddBackward0", None, "y", None, 1, (0, 6), "", 1, [], None)
        >>> ProgramText("y += 1").title(add)
        'y += 1'
        """
        name = clean(node.name) if node.name else None
        if node.kind == "leaf":
            return name or "leaf"
        text = self.expression(node)
        if node.kind == "constant":
            return name or text or "constant"
        if name and text and name != text:
            return text if _UPDATE.match(text) else f"{name} = {text}"
        return name or (clean(node.module) if node.module else text) or clean(node.op)


def subtitle(node: Node) -> str:
    """Return the text below a node's title: its class, or the kind of a leaf or constant."""
    if node.kind == "leaf":
        return "leaf"
    if node.kind == "constant":
        return "needs no gradient"
    return clean(node.op)


def location(node: Node) -> str:
    """Return the line that made a node, with the name of its file unless that is the program.

    >>> from tapedeck.model import FileLine
    >>> location(Node("n0", "op", "AddBackward0", None, None, None, 3, None, "", 1, [], None, None, FileLine("lib/net.py", 12)))
    'net.py:12'
    """
    if node.origin is not None:
        return f"{_file_name(node.origin.file)}:{node.origin.line}"
    if node.line is None:
        return ""
    if node.file is None:
        return f"line {node.line}"
    return f"{_file_name(node.file)}:{node.line}"


def _file_name(path: str) -> str:
    return clean(re.split(r"[/\\]", path)[-1], 24)


def gradient_label(node: Node, kind: PassKind) -> str:
    """Return the name of a node's gradient in a pass.

    ``autograd.grad`` returns the gradient of a leaf, and does not store it in the leaf's ``.grad``.

    >>> m = Node("n0", "leaf", "AccumulateGrad", None, "m", None, 5, None, "", 1, [], "p0")
    >>> gradient_label(m, "backward"), gradient_label(m, "grad")
    ('m.grad', 'grad')
    """
    return f"{clean(node.name, 60)}.grad" if node.kind == "leaf" and node.name and kind != "grad" else "grad"


def pass_title(numbers: PassNumbers) -> str:
    """Return the call that started a pass, with its line if that is known."""
    event = numbers.event
    line = f" on line {event.line}" if event.line >= 0 else ""
    return f"{PASS_NAMES[event.kind]}{line}"


def graph_title(graph: Graph, program: ProgramText) -> str:
    """Return the names of a graph's roots, at most three of them."""
    roots = [node for node in graph.nodes if node.id in set(graph.roots)]
    named = ", ".join(clean(node.name) if node.name else program.title(node) for node in roots[:3])
    return named + (f" and {len(roots) - 3} more" if len(roots) > 3 else "")


def graph_size(graph: Graph) -> str:
    """Return the number of nodes and edges in words."""
    return f"{numerals.count_of(len(graph.nodes), 'node')}, {numerals.count_of(len(graph.edges), 'edge')}"


def gradients_per_output(edges: list[Edge]) -> dict[tuple[str, int], int]:
    """Return how many edges carry a gradient to each output, keyed by the node's id and the output's index."""
    counts: dict[tuple[str, int], int] = {}
    for edge in edges:
        if edge.gradient:
            counts[edge.target, edge.input] = counts.get((edge.target, edge.input), 0) + 1
    return counts
