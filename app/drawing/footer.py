"""Draw the footer of a standalone picture: a caption, and the key to its lines and boxes."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from .pen import Pen, escape
from .style import SAMPLES, level, width

MARGIN: Final = 16
CELL: Final = 34
HEIGHT: Final = 68


class Footer(Struct, frozen=True):
    """The SVG of a footer, relative to its upper left corner, and its size in pixels."""

    drawn: str
    rule: str
    width: float
    height: float

    def at(self, wide: float, top: float) -> str:
        """Return the footer of a picture ``wide`` pixels wide, moved down to ``top``."""
        return f'<g class="key" transform="translate(0 {top:g})"><path d="M0 .5H{wide:g}" {self.rule}/>{self.drawn}</g>'


def draw_footer(pen: Pen, caption: str, gradients: bool) -> Footer:
    """Return the footer with a one-line ``caption``. Without ``gradients`` it has no key."""
    rule = f'class="s-line" stroke="{pen.tokens["line"]}"'
    if not gradients:
        return Footer(f'<text {pen.fill("ink-3")} x="{MARGIN}" y="20">{escape(caption)}</text>', rule, 280, 32)
    parts = [f'<text {pen.fill("ink-3")} x="{MARGIN}" y="22">{escape(caption)}</text>']
    x = float(MARGIN)
    parts.append(f'<text {pen.fill("ink-3")} x="{x:g}" y="42">|gradient|</text>')
    x += pen.wide("|gradient|") + 12
    for norm, label in SAMPLES:
        name = level(norm)
        parts.append(
            f'<path d="M{x:g} 38H{x + CELL - 6:g}" class="shaft {name}" fill="none" stroke="{pen.level(name)}" '
            f'stroke-width="{width(norm):g}"/>'
            f'<text {pen.fill("ink-3")} x="{x + CELL / 2 - 3:g}" y="56" text-anchor="middle" '
            f'font-size="{9.5 * pen.face.scale:g}">{label}</text>'
        )
        x += CELL
    x += 12
    leaf = pen.paint("param-tint", "param-fill")
    parts.append(f'<rect {leaf} x="{x:g}" y="32.5" width="16" height="11" rx="3" stroke-width="1.5"/>')
    parts.append(f'<text {pen.fill("ink-3")} x="{x + 22:g}" y="42">leaf</text>')
    x += 22 + pen.wide("leaf") + 16
    constant = pen.paint("bg", "ink-3")
    parts.append(f'<rect {constant} x="{x:g}" y="32.5" width="16" height="11" rx="3" stroke-dasharray="3 2"/>')
    parts.append(f'<text {pen.fill("ink-3")} x="{x + 22:g}" y="42">no gradient</text>')
    x += 22 + pen.wide("no gradient")
    return Footer("".join(parts), rule, round(x + MARGIN), HEIGHT)
