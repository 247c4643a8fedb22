"""Write the texts of a map: the content of a box, the explanation of its bars, and the tooltips."""

from __future__ import annotations

import math
from typing import Final

from ..model import MapBox, MapEdge, MapLeaf, MapNorm, MapSeries
from . import numerals

ROOMY: Final = 280.0
"""Width in pixels from which a box has room for long texts: ``3 nodes`` instead of ``3``, or names of leaves."""


def short_name(name: str) -> str:
    """Return the last two parts of a parameter's name.

    >>> short_name("model.h.3.attn.qkv.weight"), short_name("w")
    ('qkv.weight', 'w')
    """
    return ".".join(name.split(".")[-2:])


def value(norm: MapNorm) -> str:
    """Return a norm with three decimals."""
    return numerals.typeset(numerals.number(norm.value, 3))


def described_leaf(leaf: MapLeaf) -> str:
    """Return the tooltip of a leaf. The page's script writes the text after "gradient"."""
    gradient = "" if leaf.arrives.value is None else f", gradient {value(leaf.arrives)}"
    return f"{leaf.name}, leaf, used in {numerals.count_of(len(leaf.boxes), 'box')}{gradient}"


def counts(box: MapBox, wide: float) -> list[str]:
    """Return the texts about the content of a box: its turns, kinds and nodes.

    If the box lists leaves and constants that no other box uses, return their names instead. A box of several nodes must be
    at least :data:`ROOMY` pixels wide for that.

    >>> from msgspec.structs import replace
    >>> from ..model import MapInput
    >>> plain = MapBox("n1", "op", "Addmm", 4, 1, None, "n1", None, None, MapNorm(None), MapNorm(None), MapNorm(None))
    >>> weight, bias = MapInput("n2", "leaf", "weight", 1, False), MapInput("n3", "leaf", "bias", 1, False)
    >>> counts(replace(plain, inputs=[weight, bias], own_inputs=3), 300)
    ['weight, bias + 1']
    """
    own = [each.name for each in box.inputs if not each.shared]
    if own and (box.nodes == 1 or wide >= ROOMY):
        return [", ".join(own) + (f" + {box.own_inputs - len(own)}" if box.own_inputs > len(own) else "")]
    turns = f"× {box.turns:,}" if box.turns is not None else ""
    kinds = f"{box.kinds:,} kinds" if box.kinds is not None and box.kinds > 1 else ""
    return [text for text in (turns, kinds, _nodes(box, wide)) if text]


def _nodes(box: MapBox, wide: float) -> str:
    if box.nodes < 2:
        return ""
    return f"{box.nodes:,} nodes" if wide >= ROOMY else f"{box.nodes:,}"


def explained(series: MapSeries) -> str:
    """Return the text that explains the bars of a series. The page's script writes it for other passes.

    >>> explained(MapSeries("h", [0.1, 1.0], 0.1, 1.0, 0.1))
    'h 0.100 … 1.000, ÷ 10 per turn'
    >>> explained(MapSeries("h", [0.0, 0.0, 0.1, 1.0], 0.0, 1.0, 0.1, 1))
    'h 1.000 … 0 at turn 1, ÷ 10 per turn'
    """
    if series.least is None:
        return ""
    low, high = (numerals.typeset(numerals.number(each, 3)) for each in (series.least, series.greatest))
    if low == high:
        return f"{series.name} {low} in every turn"
    text = f"{series.name} {low} … {high}"
    if series.zero is not None:
        text = f"{series.name} {high} … 0 at turn {series.zero:,}"
    factor = series.per_turn
    if factor is None or not math.isfinite(factor) or factor <= 0 or abs(math.log(factor)) < 0.005:
        return text
    sign, shown = ("÷", 1 / factor) if factor < 1 else ("×", factor)
    short = f"{shown:.3g}" if shown < 1000 else numerals.typeset(numerals.number(shown, 3))
    return f"{text}, {sign} {short} per turn"


def described_box(box: MapBox) -> str:
    """Return the tooltip of a box. The page's script writes the numbers at its end."""
    parts = [box.name, f"{box.nodes:,} nodes" if box.nodes > 1 else ""]
    if box.turns is not None:
        parts.append(f"{box.turns:,} turns" + (f" of {box.kinds:,} kinds" if box.kinds is not None and box.kinds > 1 else ""))
    parts += [f"{each.kind} {each.name}" + (", shared" if each.shared else "") for each in box.inputs]
    if box.shared_inputs and not box.inputs:
        parts.append(f"{box.shared_inputs:,} leaves and constants shared with other boxes")
    if box.line is not None:
        parts.append(f"line {box.line}")
    for label, norm in (
        ("gradient that arrives", box.arrives),
        ("passed on", box.passed_on),
        ("of its leaves", box.parameters),
    ):
        if norm.value is not None:
            parts.append(f"{label} {'' if norm.exact else 'about '}{value(norm)}")
    return ", ".join(filter(None, dict.fromkeys(parts)))


def described_edge(edge: MapEdge) -> str:
    """Return the tooltip of an edge. The page's script writes the text after "gradient"."""
    edges = "1 edge" if edge.count == 1 else f"{edge.count:,} edges"
    if not edge.gradient:
        return f"{edges}, needs no gradient"
    if edge.kind == "formula":
        edges += " out of a derivative"
    into = f" into {numerals.count_of(edge.tensors, 'tensor')}" if edge.count > 1 else ""
    norm = "" if edge.norm.value is None else f", gradient {'' if edge.norm.exact else 'about '}{value(edge.norm)}"
    return f"{edges}{into}{norm}"
