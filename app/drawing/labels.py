"""Say what a node is: its title, as the person wrote it, and where it stands.

Whatever comes from a program is cleaned here of characters that no XML can carry or that turn text around.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ..model import Graph, Node, PassKind

PASS_NAMES = {
    "backward": "backward()",
    "grad": "torch.autograd.grad()",
    "nested": "a pass inside another",
    "implicit": "an implicit backward(): the program never calls it",
}
"""What each kind of pass is called."""
LONGEST = 200
"""Characters of a text that are kept at all: a picture has no room for more, and neither has a tooltip."""

# C0 and C1 controls, surrogates, non-characters, and the marks that reorder or hide what follows them.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff]")
_FOLDERS = re.compile(r".*[/\\]", re.DOTALL)
_PLAIN = re.compile(r"[ -~]*\Z")


@lru_cache(maxsize=4096)
def clean(text: str, longest: int = LONGEST) -> str:
    """The text on one line, without characters that cannot be drawn.

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
    """A program's text, asked by nodes for what was written where they were made."""

    def __init__(self, program: str) -> None:
        self._lines = program.splitlines()

    def text(self, node: Node) -> str | None:
        """The expression that made a node, if it is known and stands in the program itself; of what a formula made, whose."""
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
        """What the person wrote: ``y_pred = m * x``, ``y_pred - y``, ``m``; else the class.

        Of what a module of the program's computed inside, the module is what there is to say.

        >>> add = Node("n0", "op", "MulBackward0", None, "y", None, 1, (4, 9), "", 1, [], None)
        >>> ProgramText("y = m * x").title(add)
        'y = m * x'
        """
        name = clean(node.name) if node.name else None
        if node.kind == "leaf":
            return name or "leaf"
        text = self.text(node)
        if node.kind == "constant":
            return name or text or "constant"
        if name and text and name != text:
            return f"{name} = {text}"
        return name or (clean(node.module) if node.module else text) or clean(node.op)


def subtitle(node: Node) -> str:
    """What a node is, after its title."""
    if node.kind == "leaf":
        return "leaf"
    if node.kind == "constant":
        return "needs no gradient"
    return clean(node.op)


def location(node: Node) -> str:
    """Where a node was made.

    >>> location(Node("n0", "op", "AddBackward0", None, None, "lib/net.py", 3, None, "", 1, [], None))
    'net.py:3'
    """
    if node.line is None:
        return ""
    if node.file is None:
        return f"line {node.line}"
    return f"{clean(_FOLDERS.sub('', node.file), 24)}:{node.line}"


def gradient_label(node: Node, kind: PassKind) -> str:
    """What the gradient of a node is called in a pass: one that ``autograd.grad`` returns is not in the leaf's ``.grad``.

    >>> m = Node("n0", "leaf", "AccumulateGrad", None, "m", None, 5, None, "", 1, [], "p0")
    >>> gradient_label(m, "backward"), gradient_label(m, "grad")
    ('m.grad', 'grad')
    """
    return f"{clean(node.name, 60)}.grad" if node.kind == "leaf" and node.name and kind != "grad" else "grad"


def graph_title(graph: Graph, source: ProgramText) -> str:
    """What a graph is the graph of."""
    roots = [node for node in graph.nodes if node.id in set(graph.roots)]
    named = ", ".join(clean(node.name) if node.name else source.title(node) for node in roots[:3])
    return named + (f" and {len(roots) - 3} more" if len(roots) > 3 else "")
