"""Join pictures of several instants into one animated SVG without a script, or bring them to one size for an animated PNG."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

from .pen import BROWSER, EMBEDDED, Face, escape, pen
from .style import Theme

FRAMES: Final = 40
"""Largest number of pictures."""
SECONDS: Final = 0.7
"""Seconds for which each picture is shown. The last one is shown for three times as long."""
CAPTION: Final = 28
"""Height of the caption above the picture, in pixels."""
BYTES: Final = 8 * 1024 * 1024
"""Largest size of an animated SVG. Fewer pictures are chosen if they are large."""
PIXELS: Final = 40_000_000
"""Largest number of pixels of all pictures of an animated PNG together. Larger pictures are drawn smaller."""
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


def most(size: int) -> int:
    """Return the largest number of pictures of ``size`` bytes each in an animation. It is at least 2.

    >>> most(20_000), most(1_000_000)
    (40, 8)
    """
    return max(2, min(FRAMES, BYTES // max(1, size)))


def animate(pictures: Sequence[tuple[str, str]], theme: Theme) -> str:
    """Return an SVG that shows pictures, each with its caption, one after another, and repeats.

    All pictures must be SVG of this package. A viewer that does not animate shows the first one.
    """
    total = SECONDS * (len(pictures) + 2)
    frames = []
    for index, (svg, caption) in enumerate(pictures):
        start = SECONDS * index / total
        stop = 1.0 if index == len(pictures) - 1 else SECONDS * (index + 1) / total
        hidden = "" if index == 0 else ' visibility="hidden"'
        frames.append(f"<g{hidden}>{_visibility(start, stop, total)}{_captioned(svg, caption, theme)}</g>")
    return _sheet("".join(frames), _size(pictures), 1.0, theme)


def stills(pictures: Sequence[tuple[str, str]], theme: Theme) -> list[str]:
    """Return pictures with their captions as SVG of one size, which are the frames of an animated PNG."""
    wide, high = _size(pictures)
    scale = min(1.0, math.sqrt(PIXELS / (4 * wide * high * len(pictures))))  # a PNG has four pixels for each of the SVG
    return [_sheet(_captioned(svg, caption, theme, EMBEDDED), (wide, high), scale, theme) for svg, caption in pictures]


def durations(count: int) -> list[int]:
    """Return the duration of each of ``count`` pictures, in milliseconds."""
    beat = round(1000 * SECONDS)
    return [*[beat] * (count - 1), 3 * beat]


def _size(pictures: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """Return the width and height, in pixels, into which every picture fits with its caption."""
    sizes = [found.groups() for svg, _ in pictures if (found := _SIZE.search(svg))]
    return max(float(wide) for wide, _ in sizes), max(float(high) for _, high in sizes) + CAPTION


def _captioned(svg: str, caption: str, theme: Theme, face: Face = BROWSER) -> str:
    body, mine = _OPENING.sub("", svg, count=1).removesuffix("</svg>"), pen(theme, face)
    return (
        f'<text {mine.fill("ink-2")} x="16" y="20" font-family="{face.sans}" font-size="13" '
        f'font-weight="600">{escape(caption)}</text>'
        f'<g font-family="{face.sans}" font-size="{mine.size:g}" transform="translate(0 {CAPTION})">{body}</g>'
    )


def _sheet(content: str, size: tuple[float, float], scale: float, theme: Theme) -> str:
    (wide, high), mine = size, pen(theme, BROWSER)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide * scale:g}" height="{high * scale:g}" '
        f'viewBox="0 0 {wide:g} {high:g}" font-family="{mine.face.sans}" font-size="{mine.size:g}">'
        f'<rect {mine.fill("bg")} width="{wide:g}" height="{high:g}"/>{content}</svg>'
    )


def _visibility(start: float, stop: float, total: float) -> str:
    """Return the SVG animation that shows a frame from ``start`` to ``stop``, which are shares of the ``total`` seconds."""
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
"""Number of beats, of :data:`SECONDS` each, that follow the beats of the nodes. The whole graph is shown in them."""


def animate_pass(svg: str, order: Sequence[str]) -> str:
    """Return the picture of a pass in which nodes and edges appear in the ``order`` in which the engine ran the nodes.

    A leaf appears when its AccumulateGrad node runs. A node that did not run is shown from the beginning. A viewer that does
    not animate shows the whole picture.
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


def stills_of_pass(svg: str, order: Sequence[str]) -> list[tuple[str, str]]:
    """Return at most :data:`FRAMES` pictures of a pass with their captions. In each, more nodes have run than before."""
    beat = {node: index for index, node in enumerate(order)}

    def at(reached: int) -> str:
        def faint(found: re.Match[str]) -> str:
            node = _NODE.search(found[0])
            later = node is not None and beat.get(node[1], -1) > reached
            return f'{found[0][:-1]} opacity="{FAINT}">' if later else found[0]

        return _DRAWN.sub(faint, svg)

    chosen_beats = chosen(len(order), most(len(svg)))
    return [(at(index), f"backward {index + 1} of {len(order)}") for index in chosen_beats]
