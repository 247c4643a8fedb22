"""Draw a node: its card, the smaller one of a constant, the stub of a leaf that stands elsewhere."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from ..model import Node, TensorSummary
from . import labels, measure, numerals
from .pen import Pen, escape
from .plan import Box

PAD: Final = 10
COLUMN: Final = 50
"""Where the numbers of a card begin, after the room for ``m.grad``."""
RADIUS: Final = 6
ROWS: Final = 70
"""A card at least this high has room for numbers."""
NOTHING: Final = "·"


class CardContent(Struct):
    """All that the drawing of one node depends on.

    ``label`` is what its gradient is called, ``grads`` are what arrived at each output (of a leaf: what was added), ``sum`` the
    number of edges where several meet at one output (else 0), ``hooked`` that hooks changed the gradient, ``accumulated`` that
    the leaf had a gradient before, ``failed`` that the pass stopped at it.
    """

    node: Node
    title: str
    recorded: bool
    value: TensorSummary | None
    label: str
    grads: list[TensorSummary | None]
    sum: int
    hooked: bool
    root: bool
    selected: bool
    accumulated: bool
    failed: bool = False


def body(pen: Pen, box: Box, facts: CardContent) -> str:
    """What stands inside a node's group, from the corner of its box."""
    if box.role == "stub":
        return _stub(pen, box, facts)
    if box.role == "constant":
        return _constant(pen, box, facts)
    return _card(pen, box, facts)


def room(width: float) -> int:
    """How many characters of a fixed-width font fit."""
    return int(width / (11 * measure.MONO))


def _border(pen: Pen, box: Box, facts: CardContent) -> str:
    kind, selected = facts.node.kind, facts.selected
    dashed = ""
    if kind == "leaf":
        thick = 2.5 if selected else 1.5
        paint = pen.paint("param-tint", "param" if selected else "param-fill", "border ")
    elif kind == "constant":
        thick, dashed = (2.0 if selected else 1.0), ' stroke-dasharray="4 3"'
        paint = pen.paint("bg", "ink" if selected else "line-2", "border ")
    else:
        thick = 2.0 if selected else 1.25 if facts.root else 1.0
        paint = pen.paint("surface", "ink" if selected or facts.root else "line-2", "border ")
    if facts.failed:
        thick, paint = 2.0, pen.paint("bad-tint", "bad", "border ")
    radius = box.height / 2 if box.role == "stub" else RADIUS
    return f'<rect {paint} width="{box.width}" height="{box.height}" rx="{radius:g}" stroke-width="{thick:g}"{dashed}/>'


def _card(pen: Pen, box: Box, facts: CardContent) -> str:
    node, right = facts.node, box.width - PAD
    where = labels.location(node)
    kind = numerals.shape_and_dtype(facts.value) if facts.value is not None else ""
    second = labels.subtitle(node)
    if second == facts.title:
        second = labels.clean(node.call) if node.call else ""
    if node.module and node.module != facts.title:
        second = f"{second} · {labels.clean(node.module)}" if second else labels.clean(node.module)
    marks = [f"Σ of {facts.sum}"] if facts.sum else []
    if facts.hooked:
        marks.append("hook")
    badges = [(mark, round(pen.wide(mark, 9.5, bold=True)) + 12) for mark in marks]
    free = right - PAD - (pen.wide(kind) + 8 if kind else 0) - sum(wide + 6 for _, wide in badges)
    second = measure.fit(second, free, pen.size, mono=pen.face.fixed)
    parts = [
        _border(pen, box, facts),
        pen.title(facts.title, right - PAD - (pen.wide(where) + 8 if where else 0), PAD, 18),
        pen.right(where, right, 18),
        f'<text {pen.fill("ink-3")} x="{PAD}" y="33">{escape(second)}</text>',
        pen.right(kind, right, 33),
    ]
    x = PAD + pen.wide(second) + 7
    for mark, wide in badges:
        parts.append(_badge(pen, mark, x, wide))
        x += wide + 6
    if box.height >= ROWS:
        parts.append(_rows(pen, box, facts))
    return "".join(parts)


def _rows(pen: Pen, box: Box, facts: CardContent) -> str:
    node, value = facts.node, facts.value
    characters = room(box.width - COLUMN - 2 * PAD + 2)
    token = "bad" if numerals.is_nonfinite(value) else "param" if node.kind == "leaf" else "ink"
    shown = NOTHING if value is None else numerals.typeset(numerals.brief(value, characters))
    label = facts.label
    if facts.accumulated:
        label = "grad +="
    elif pen.wide(label) > COLUMN - 5:
        label = "grad"
    gradient, of_gradient = gradients(facts, characters)
    return (
        f'<text {pen.fill("ink-3")} x="{PAD}" y="52">value</text>'
        + pen.numbers(shown, token, PAD + COLUMN, 52, "value", characters)
        + f'<text {pen.fill("ink-3")} x="{PAD}" y="67">{escape(label)}</text>'
        + pen.numbers(gradient, of_gradient, PAD + COLUMN, 67, "grad", characters)
    )


def gradients(facts: CardContent, characters: int) -> tuple[str, str]:
    """The text of the gradient's row, and its colour: the one gradient, or the norms at each output."""
    grads = facts.grads
    if not facts.recorded:
        return NOTHING, "ink-3"
    if len(grads) == 1:
        only = grads[0]
        token = "ink-3" if only is None else "bad" if numerals.is_nonfinite(only) else "grad"
        return numerals.typeset(numerals.brief(only, characters)), token
    token = "bad" if any(map(numerals.is_nonfinite, grads)) else "grad"
    listed = [NOTHING if one is None else numerals.number(one.norm, 2) for one in grads]
    text = f"‖{', '.join(listed)}‖"
    if len(text) > characters:
        text = f"at {sum(one is not None for one in grads)} of {len(grads)} outputs"
        return text, token
    return numerals.typeset(text), token


def _constant(pen: Pen, box: Box, facts: CardContent) -> str:
    right = box.width - PAD
    where = labels.location(facts.node)
    parts = [
        _border(pen, box, facts),
        pen.title(facts.title, right - PAD - (pen.wide(where) + 8 if where else 0), PAD, 18),
        pen.right(where, right, 18),
    ]
    low = box.height < 60
    if not low:
        value = facts.value
        characters = room(right - PAD + 2)
        text = NOTHING if value is None else numerals.typeset(numerals.brief(value, characters))
        parts.append(pen.numbers(text, "bad" if numerals.is_nonfinite(value) else "ink-2", PAD, 36, "value", characters))
    parts.append(pen.small("needs no gradient", PAD, 33 if low else 54, right - PAD))
    return "".join(parts)


def _stub(pen: Pen, box: Box, facts: CardContent) -> str:
    shown = measure.fit(facts.title, box.width - 2 * PAD - 4, pen.size, bold=True, mono=pen.face.fixed)
    fill = pen.fill("param" if facts.node.kind == "leaf" else "ink-2")
    return (
        f"{_border(pen, box, facts)}"
        f'<text {fill} x="{box.width / 2:g}" y="17" text-anchor="middle" font-weight="600">{escape(shown)}</text>'
    )


def _badge(pen: Pen, text: str, x: float, wide: int) -> str:
    """A small mark after the class: that gradients are summed here, or changed by a hook."""
    return (
        f'<rect {pen.paint("grad-tint", "grad-fill", "mark ")} x="{x:.1f}" y="22.5" width="{wide}" height="14" rx="7"/>'
        f'<text {pen.fill("grad")} x="{x + wide / 2:.1f}" y="33" text-anchor="middle" '
        f'font-size="{9.5 * pen.face.scale:g}" font-weight="600">{escape(text)}</text>'
    )
