"""Define the colours, sizes and scale that every picture, page and document uses.

The browser gets the values as JSON from :func:`legend`, and the rules for an inline SVG from :func:`css`. Each value is thus
defined once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final, Literal

Theme = Literal["light", "dark", "auto"]
"""``auto`` uses the colours of ``light``. A page's stylesheet may override them through the classes."""
Direction = Literal["TB", "BT", "LR"]
"""Side of the root: top, bottom or left."""
Density = Literal["full", "compact"]
"""Size of the cards. Compact ones are low and wide, with their numbers in one row: a chain then fits a projector."""
PictureLayout = Literal["auto", "nodes", "groups", "graph", "rows"]
"""Layout of a picture: ``nodes`` is a card for each node, ``groups`` is a map.

``graph`` is a map by Graphviz with nested frames, and ``rows`` a map with one box in each row. ``groups`` chooses the map that
is easier to read, ``graph`` or ``rows``. ``auto`` chooses the easiest of all these pictures."""

THEMES: Final = MappingProxyType(
    {
        "light": MappingProxyType(
            {
                "bg": "#fafaf8", "surface": "#ffffff", "sunken": "#f3f3f0", "line": "#e4e4df", "line-2": "#c7c7c0",
                "ink": "#17191c", "ink-2": "#464b52", "ink-3": "#666b73",
                "grad": "#964400", "grad-fill": "#d07c00", "grad-tint": "#fdf1dc", "edge0": "#c9c5bb",
                "param": "#1a4fc4", "param-fill": "#2f6bea", "param-tint": "#ecf2ff",
                "bad": "#a8201a", "bad-tint": "#fdeeec", "focus": "#1a4fc4",
            }
        ),
        "dark": MappingProxyType(
            {
                "bg": "#121315", "surface": "#17191c", "sunken": "#0e0f11", "line": "#282b30", "line-2": "#474c54",
                "ink": "#ebebe7", "ink-2": "#b9bdc4", "ink-3": "#8f959e",
                "grad": "#f3b25a", "grad-fill": "#e8971f", "grad-tint": "#2c210f", "edge0": "#4a463e",
                "param": "#8db4ff", "param-fill": "#5b8dfa", "param-tint": "#152038",
                "bad": "#ff9a90", "bad-tint": "#33181a", "focus": "#8db4ff",
            }
        ),
    }
)  # fmt: skip
"""Colour tokens of both themes. Amber is used only for gradients, blue for leaves, and red for errors."""

SANS: Final = (
    "-apple-system, BlinkMacSystemFont, 'Segoe UI', 'Helvetica Neue', Helvetica, 'Liberation Sans', Arial, "
    "'DejaVu Sans', sans-serif"
)
MONO: Final = (
    "ui-monospace, 'SF Mono', SFMono-Regular, Menlo, 'Cascadia Mono', Consolas, 'DejaVu Sans Mono', "
    "'Liberation Mono', monospace"
)

KNOTS: Final = ((-12.0, 0.0), (-4.0, 0.22), (1.0, 1.0))
"""Points of the scale: log10 of an L2 norm, and its position from 0 to 1. Most of the scale is for norms from 1e-4 to 10."""
THIN: Final = 1.0
THICK: Final = 7.0
"""Width of the edges at both ends of the scale, in pixels."""
FAINT: Final = 0.25
"""Share of amber in the colour of the smallest gradient, so that it differs from the grey of no gradient."""
LEVELS: Final = 16
"""Number of steps of the scale above the lowest colour. A stylesheet refers to them by the classes ``g0`` to ``g16``."""
HEAD_LENGTH: Final = 7.0
HEAD_HALF: Final = 2.8
HEAD_BASE: Final = 0.75
HEAD_PER_PIXEL: Final = 0.27

DECIMALS: Final = 4
LOW: Final = 0.01
HIGH: Final = 1e4
SHARED_DECIMALS: Final = 2
CHARACTERS: Final = 27
MINUS: Final = "−"


def palette(theme: Theme) -> tuple[Literal["light", "dark"], Mapping[str, str]]:
    """Return the theme that a picture is drawn in, and its colour tokens."""
    name: Literal["light", "dark"] = "dark" if theme == "dark" else "light"
    return name, THEMES[name]


def scale_position(norm: float | None) -> float | None:
    """Return the position of a norm on the scale, from 0 to 1; ``None`` if it is missing, zero or not finite.

    >>> scale_position(1e-12), scale_position(10.0), scale_position(0.0), scale_position(1e30)
    (0.0, 1.0, None, 1.0)
    """
    if norm is None or not norm > 0 or math.isinf(norm):
        return None
    log = math.log10(norm)
    if log <= KNOTS[0][0]:
        return 0.0
    for (x0, y0), (x1, y1) in pairwise(KNOTS):
        if log <= x1:
            return y0 + (y1 - y0) * (log - x0) / (x1 - x0)
    return 1.0


def width(norm: float | None) -> float:
    """Return the width of an edge in pixels, from 1 to 7. NaN and infinity have the middle width, and their own colour.

    >>> width(None), width(10.0), width(float("nan"))
    (1.0, 7.0, 4.0)
    """
    if norm is not None and not math.isfinite(norm):
        return (THIN + THICK) / 2
    position = scale_position(norm)
    return THIN if position is None else round(THIN + (THICK - THIN) * position, 2)


def head(shaft: float) -> float:
    """Return the size of the arrowhead for a shaft, as a multiple of a head 7 pixels long and 5.6 wide.

    >>> round(head(1.0), 2), round(head(7.0), 2)
    (1.02, 2.64)
    """
    return HEAD_BASE + HEAD_PER_PIXEL * shaft


def level(norm: float | None) -> str:
    """Return the class that colours an edge with this norm.

    >>> level(None), level(1e-12), level(10.0), level(float("inf"))
    ('flat', 'g0', 'g16', 'bad')
    """
    if norm is not None and not math.isfinite(norm):
        return "bad"
    position = scale_position(norm)
    return "flat" if position is None else f"g{round(position * LEVELS)}"


@lru_cache(maxsize=256)
def level_colour(name: str, theme: Literal["light", "dark"]) -> str:
    """Return the colour of a class from :func:`level`, as six hexadecimal digits."""
    tokens = THEMES[theme]
    if name in ("flat", "bad"):
        return tokens["edge0" if name == "flat" else "bad"]
    return mix(tokens["grad-fill"], tokens["edge0"], _share(int(name[1:])))


def _share(step: int) -> float:
    return FAINT + (1 - FAINT) * step / LEVELS


def mix(one: str, other: str, share: float) -> str:
    """Return two colours mixed in Oklab, as CSS ``color-mix`` does: ``share`` of the first, the rest of the second.

    >>> mix("#ffffff", "#000000", 1.0), mix("#ffffff", "#000000", 0.5)
    ('#ffffff', '#636363')
    """
    a, b = _oklab(one), _oklab(other)
    return _hex(tuple(share * x + (1 - share) * y for x, y in zip(a, b, strict=True)))


def _oklab(colour: str) -> tuple[float, ...]:
    # Björn Ottosson's matrices, as in the CSS Color 4 specification.
    red, green, blue = (_linear(int(colour[start : start + 2], 16) / 255) for start in (1, 3, 5))
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    medium = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _hex(lab: tuple[float, ...]) -> str:
    lightness, a, b = lab
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * min(1.0, max(0.0, _curve(part)))):02x}" for part in linear)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)


def _curve(part: float) -> float:
    return 12.92 * part if part <= 0.0031308 else float(1.055 * part ** (1 / 2.4) - 0.055)


SAMPLES: Final = ((1e-12, "10⁻¹²"), (1e-8, "10⁻⁸"), (1e-4, "10⁻⁴"), (1e-2, "0.01"), (0.1, "0.1"), (1.0, "1"), (10.0, "10"))
"""Norms and labels of the key at the foot of a picture."""


def legend() -> dict[str, Any]:
    """Return all values in a form for JSON. The browser needs them to draw a step exactly as the server does."""
    return {
        "themes": {name: dict(tokens) for name, tokens in THEMES.items()},
        "fonts": {"sans": SANS, "mono": MONO},
        "scale": {
            "knots": [list(knot) for knot in KNOTS],
            "width": [THIN, THICK],
            "faint": FAINT,
            "levels": LEVELS,
            "colours": {theme: [level_colour(f"g{step}", theme) for step in range(LEVELS + 1)] for theme in ("light", "dark")},
            "samples": [{"norm": norm, "label": label, "width": width(norm), "level": level(norm)} for norm, label in SAMPLES],
        },
        "head": {"length": HEAD_LENGTH, "half": HEAD_HALF, "base": HEAD_BASE, "per_pixel": HEAD_PER_PIXEL},
        "numbers": {
            "decimals": DECIMALS,
            "low": LOW,
            "high": HIGH,
            "shared_decimals": SHARED_DECIMALS,
            "characters": CHARACTERS,
            "minus": MINUS,
        },
    }


def css() -> str:
    """Return rules that colour an inline SVG by its classes, from the page's tokens (``--ink``, ``--grad`` and so on)."""
    lines = [
        f"svg.graph .f-{token}{{fill:var(--{token})}}svg.graph .s-{token}{{stroke:var(--{token})}}" for token in THEMES["light"]
    ]
    for step in range(LEVELS + 1):
        mixed = f"color-mix(in oklab,var(--grad-fill) {100 * _share(step):g}%,var(--edge0))"
        lines.append(f"svg.graph .shaft.g{step}{{stroke:{mixed}}}svg.graph .head.g{step}{{fill:{mixed}}}")
    for name, token in (("flat", "edge0"), ("bad", "bad")):
        lines.append(f"svg.graph .shaft.{name}{{stroke:var(--{token})}}svg.graph .head.{name}{{fill:var(--{token})}}")
    return "\n".join(lines) + "\n"
