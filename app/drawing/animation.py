"""Join the pictures of several instants to one SVG that plays them, without a script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from .pen import BROWSER, escape, pen
from .style import Theme

FRAMES: Final = 40
"""Largest number of pictures."""
SECONDS: Final = 0.7
"""Seconds for which each picture is shown. The last one is shown for three times as long."""
CAPTION: Final = 28
"""Height of the caption above the picture, in pixels."""
_OPENING: Final = re.compile(r"<svg [^>]*>")
_SIZE: Final = re.compile(r' width="([\d.]+)" height="([\d.]+)"')


def chosen(count: int, most: int = FRAMES) -> list[int]:
    """Return the indices of at most ``most`` instants out of ``count``, evenly spaced, with the first and the last one.

    >>> chosen(4), chosen(100, 5)
    ([0, 1, 2, 3], [0, 25, 50, 74, 99])
    """
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]


def animate(pictures: Sequence[tuple[str, str]], theme: Theme) -> str:
    """Return an SVG that shows pictures, each with its caption, one after another, and repeats.

    All pictures must be SVG of this package. A viewer that does not animate shows the first one.
    """
    sizes = [found.groups() for svg, _ in pictures if (found := _SIZE.search(svg))]
    wide = max(float(size[0]) for size in sizes)
    high = max(float(size[1]) for size in sizes) + CAPTION
    mine = pen(theme, BROWSER)
    total = SECONDS * (len(pictures) + 2)
    frames = []
    for index, (svg, caption) in enumerate(pictures):
        start = SECONDS * index / total
        stop = 1.0 if index == len(pictures) - 1 else SECONDS * (index + 1) / total
        body = _OPENING.sub("", svg, count=1).removesuffix("</svg>")
        hidden = "" if index == 0 else ' visibility="hidden"'
        frames.append(
            f'<g{hidden}>{_visibility(start, stop, total)}<text {mine.fill("ink-2")} x="16" y="20" font-size="13" '
            f'font-weight="600">{escape(caption)}</text><g transform="translate(0 {CAPTION})">{body}</g></g>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:g}" height="{high:g}" viewBox="0 0 {wide:g} {high:g}" '
        f'font-family="{mine.face.sans}" font-size="{mine.size:g}"><rect {mine.fill("bg")} width="{wide:g}" height="{high:g}"/>'
        f"{''.join(frames)}</svg>"
    )


def _visibility(start: float, stop: float, total: float) -> str:
    """Return the animation that shows a frame from ``start`` to ``stop``, as shares of the whole time."""
    steps = [(0.0, "hidden"), (start, "visible"), (stop, "hidden")]
    if start == 0:
        steps = steps[1:]
    if stop == 1:
        steps = steps[:-1]
    if len(steps) == 1:  # a single picture
        return ""
    times, values = ";".join(f"{at:.4f}" for at, _ in steps), ";".join(value for _, value in steps)
    return (
        f'<animate attributeName="visibility" calcMode="discrete" dur="{total:g}s" repeatCount="indefinite" '
        f'keyTimes="{times}" values="{values}"/>'
    )


_DRAWN: Final = re.compile(r'<g (?:class="node|class="edge|[^>]*data-(?:node|source)=)[^>]*>')
_NODE: Final = re.compile(r'data-(?:node|source)="(n\d+)"')
FAINT: Final = 0.12
"""Opacity of the parts of the graph that the gradient has not reached yet."""
REST: Final = 3
"""Number of beats for which the whole graph is shown at the end."""


def animate_pass(svg: str, order: Sequence[str]) -> str:
    """Return the picture of a pass in which nodes and edges appear in the ``order`` in which the engine ran the nodes.

    A leaf appears with the first edge that reaches it. A viewer that does not animate shows the whole picture.
    """
    beat = {node: index for index, node in enumerate(order)}
    total = len(order) + REST

    def timed(found: re.Match[str]) -> str:
        node = _NODE.search(found[0])
        if node is None or node[1] not in beat:
            return found[0]
        start = (beat[node[1]] + (0.5 if "data-source" in found[0] else 0)) / total
        return (
            f'{found[0]}<animate attributeName="opacity" calcMode="discrete" dur="{SECONDS * total:g}s" '
            f'repeatCount="indefinite" keyTimes="0;{start:.4f}" values="{FAINT if start else 1};1"/>'
        )

    return _DRAWN.sub(timed, svg)
