"""Draw one node: the card of an operation or leaf, the smaller card of a constant, or a stub that refers to a card."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ..model import Node, TensorSummary
from . import labels, measure, numerals
from .pen import Pen, escape
from .plan import Box

PAD: Final = 10
COLUMN: Final = 50
"""Pixels between the padding and the numbers of a card: the room for a label such as ``m.grad``."""
RADIUS: Final = 6
ROWS: Final = 70
"""Smallest height in pixels of a card with a value and a gradient."""
VALUE_ROW: Final = 58
"""Smallest height in pixels of a card with a value."""
LOW: Final = 44
"""Height in pixels below which a card or constant is compact, with its numbers in one row."""
MISSING: Final = "·"


class CardContent(Struct):
    """The content of the card of one node."""

    node: Node
    title: str
    recorded: bool
    """True if the picture shows a pass."""
    value: TensorSummary | None
    label: str
    """Name of the gradient, such as ``m.grad``."""
    grads: list[TensorSummary | None]
    """Gradient that arrived at each output; for a leaf, the gradient that was used."""
    sum: int
    """Largest number of gradients summed at one output, or 0 if no output has more than one."""
    hooked: bool
    """True if a hook changed the gradient."""
    root: bool
    selected: bool
    accumulated: bool
    """True if the leaf had a gradient before the pass."""
    failed: bool = False
    """True if the pass stopped at this node with an error."""


def body(pen: Pen, box: Box, content: CardContent) -> str:
    """Return the SVG of a node, drawn from the upper left corner of its box."""
    if box.role == "stub":
        return _stub(pen, box, content)
    if box.role == "constant":
        return _constant(pen, box, content)
    return _card(pen, box, content)


def room(width: float) -> int:
    """Return how many characters of the fixed-width font fit into ``width`` pixels."""
    return int(width / (11 * measure.MONO))


def _border(pen: Pen, box: Box, content: CardContent) -> str:
    kind, selected = content.node.kind, content.selected
    dashed = ""
    if kind == "leaf":
        thick = 2.5 if selected else 1.5
        paint = pen.paint("param-tint", "param" if selected else "param-fill", "border ")
    elif kind == "constant":
        thick, dashed = (2.0 if selected else 1.0), ' stroke-dasharray="4 3"'
        paint = pen.paint("bg", "ink" if selected else "line-2", "border ")
    else:
        thick = 2.0 if selected else 1.25 if content.root else 1.0
        paint = pen.paint("surface", "ink" if selected or content.root else "line-2", "border ")
    if content.failed:
        thick, paint = 2.0, pen.paint("bad-tint", "bad", "border ")
    radius = box.height / 2 if box.role == "stub" else RADIUS
    return f'<rect {paint} width="{box.width}" height="{box.height}" rx="{radius:g}" stroke-width="{thick:g}"{dashed}/>'


def _card(pen: Pen, box: Box, content: CardContent) -> str:
    node, right = content.node, box.width - PAD
    where = labels.location(node)
    if box.height < LOW:
        return _compact(pen, box, content, where)
    kind = numerals.described(content.value) if content.value is not None else ""
    second = labels.subtitle(node)
    if second == content.title:
        second = labels.clean(node.call) if node.call else ""
    if node.module and node.module != content.title:
        second = f"{second} · {labels.clean(node.module)}" if second else labels.clean(node.module)
    badges = _badges(pen, content)
    free = right - PAD - (pen.wide(kind) + 8 if kind else 0) - sum(wide + 6 for _, wide in badges)
    second = measure.fit(second, free, pen.size, mono=pen.face.fixed)
    parts = [
        _border(pen, box, content),
        pen.title(content.title, right - PAD - (pen.wide(where) + 8 if where else 0), PAD, 17),
        pen.right(where, right, 17),
        f'<text {pen.fill("ink-3")} x="{PAD}" y="32">{escape(second)}</text>',
        pen.right(kind, right, 32),
    ]
    x = PAD + pen.wide(second) + 7
    for mark, wide in badges:
        parts.append(_badge(pen, mark, x, 33, wide))
        x += wide + 6
    if box.height >= VALUE_ROW:
        parts.append(_value_row(pen, box, content))
    if box.height >= ROWS:
        parts.append(_gradient_row(pen, box, content))
    return "".join(parts)


def _value_row(pen: Pen, box: Box, content: CardContent) -> str:
    characters = _characters(box)
    shown, token = _value(content, characters)
    label = f'<text {pen.fill("ink-3")} x="{PAD}" y="50">value</text>'
    return label + pen.numbers(shown, token, PAD + COLUMN, 50, "value", characters)


def _characters(box: Box) -> int:
    return room(box.width - COLUMN - 2 * PAD + 2)


def _compact(pen: Pen, box: Box, content: CardContent, where: str) -> str:
    """Return a card with its value and its gradient in one row. The class of the node is not shown."""
    right, start = box.width - PAD, (box.width + COLUMN) / 2 + 4
    characters = room(right - start + 2)
    gradient, of_gradient = gradients(content, characters)
    badges = _badges(pen, content)
    free = right - PAD - (pen.wide(where) + 8 if where else 0) - sum(wide + 6 for _, wide in badges)
    parts = [_border(pen, box, content), pen.title(content.title, free, PAD, 16), pen.right(where, right, 16)]
    x = right - (pen.wide(where) + 8 if where else 0)
    for mark, wide in badges:
        x -= wide
        parts.append(_badge(pen, mark, x, 16, wide))
        x -= 6
    shown, token = _value(content, characters)
    return "".join(
        [
            *parts,
            pen.numbers(shown, token, PAD, 32, "value", characters),
            f'<text {pen.fill("ink-3")} x="{start - COLUMN:g}" y="32">{escape(_gradient_label(pen, content))}</text>',
            pen.numbers(gradient, of_gradient, start, 32, "grad", characters),
        ]
    )


def _value(content: CardContent, characters: int) -> tuple[str, str]:
    """Return the text of a card's value and its colour token."""
    value = content.value
    token = "bad" if numerals.is_suspect(value) else "param" if content.node.kind == "leaf" else "ink"
    return MISSING if value is None else numerals.typeset(numerals.brief(value, characters)), token


def _gradient_label(pen: Pen, content: CardContent) -> str:
    """Return the name of a card's gradient, short enough for its column."""
    if content.accumulated:
        return "grad +="
    return "grad" if pen.wide(content.label) > COLUMN - 5 else content.label


def _gradient_row(pen: Pen, box: Box, content: CardContent) -> str:
    characters, label = _characters(box), _gradient_label(pen, content)
    gradient, of_gradient = gradients(content, characters)
    return f'<text {pen.fill("ink-3")} x="{PAD}" y="64">{escape(label)}</text>' + pen.numbers(
        gradient, of_gradient, PAD + COLUMN, 64, "grad", characters
    )


def gradients(content: CardContent, characters: int) -> tuple[str, str]:
    """Return the text of a card's gradient and its colour token.

    A node with one output shows its gradient. A node with several outputs shows the norm at each.
    """
    grads = content.grads
    if not content.recorded:
        return MISSING, "ink-3"
    if len(grads) == 1:
        only = grads[0]
        token = "ink-3" if only is None else "bad" if numerals.is_nonfinite(only) else "grad"
        return numerals.typeset(numerals.brief(only, characters)), token
    token = "bad" if any(map(numerals.is_nonfinite, grads)) else "grad"
    listed = [MISSING if one is None else numerals.number(one.norm, 2) for one in grads]
    text = f"‖{', '.join(listed)}‖"
    if len(text) > characters:
        text = f"at {sum(one is not None for one in grads)} of {len(grads)} outputs"
        return text, token
    return numerals.typeset(text), token


def _constant(pen: Pen, box: Box, content: CardContent) -> str:
    right = box.width - PAD
    where = labels.location(content.node)
    compact = box.height < LOW
    first, second = (16, 32) if compact else (18, 36)
    parts = [
        _border(pen, box, content),
        pen.title(content.title, right - PAD - (pen.wide(where) + 8 if where else 0), PAD, first),
        pen.right(where, right, first),
    ]
    low = LOW <= box.height < 60
    if not low:
        value = content.value
        characters = room(right - PAD + 2)
        text = MISSING if value is None else numerals.typeset(numerals.brief(value, characters))
        parts.append(pen.numbers(text, "bad" if numerals.is_suspect(value) else "ink-2", PAD, second, "value", characters))
    if not compact:
        parts.append(pen.small("needs no gradient", PAD, 33 if low else 54, right - PAD))
    return "".join(parts)


def _stub(pen: Pen, box: Box, content: CardContent) -> str:
    shown = measure.fit(content.title, box.width - 2 * PAD - 4, pen.size, bold=True, mono=pen.face.fixed)
    fill = pen.fill("param" if content.node.kind == "leaf" else "ink-2")
    return (
        f"{_border(pen, box, content)}"
        f'<text {fill} x="{box.width / 2:g}" y="17" text-anchor="middle" font-weight="600">{escape(shown)}</text>'
    )


def _badges(pen: Pen, content: CardContent) -> list[tuple[str, int]]:
    """Return the marks of a card, such as ``Σ of 2`` and ``hook``, and their widths in pixels."""
    marks = [f"Σ of {content.sum}"] if content.sum else []
    if content.hooked:
        marks.append("hook")
    return [(mark, round(pen.wide(mark, 9.5, bold=True)) + 12) for mark in marks]


def _badge(pen: Pen, text: str, x: float, y: float, wide: int) -> str:
    """Return a mark whose text stands on the line ``y``."""
    return (
        f'<rect {pen.paint("grad-tint", "grad-fill", "mark ")} x="{x:.1f}" y="{y - 10.5:g}" width="{wide}" height="14" rx="7"/>'
        f'<text {pen.fill("grad")} x="{x + wide / 2:.1f}" y="{y:g}" text-anchor="middle" '
        f'font-size="{9.5 * pen.face.scale:g}" font-weight="600">{escape(text)}</text>'
    )
