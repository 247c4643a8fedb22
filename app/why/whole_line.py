"""Write the whole calculation of a leaf's gradient in one line: ``m.grad = ⅓·[2·(1 − 2)·1 + …] = −9.3333``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from .gradients import ProductTerm, contributions, worked
from .names import shown
from .scene import PassScene

MOST_PATHS: Final = 64
"""Largest number of ways from the leaf's element to the loss that are followed."""
MOST_SHOWN: Final = 8
"""Largest number of terms in the line."""
DEEPEST: Final = 40
"""Largest number of operations on a way."""
LONGEST: Final = 400
"""Largest number of characters of a line."""


class _NoLine(Exception):
    """Raised if there are too many ways, or if one of them cannot be followed."""


class _Way(NamedTuple):
    """A way from the leaf's element to the loss: the factors with the nodes that multiply by them."""

    factors: tuple[tuple[int, str], ...]
    value: float


def whole_line(scene: PassScene, node: int, flat: int, name: str) -> str | None:
    """Return the line for the gradient of an element of a leaf; ``None`` if it would be too long or a number is missing."""
    array = scene.numbers.array("arrived", node, 0)
    if array is None:
        return None
    try:
        ways = list(_ways(scene, node, 0, flat, 0, [0]))
    except _NoLine:
        return None
    if not ways:
        return None
    line = f"{name} = {_bracketed(ways)} = {shown(float(array.reshape(-1)[flat]))}"
    return line if len(line) <= LONGEST else None


def _ways(scene: PassScene, node: int, output: int, flat: int, depth: int, count: list[int]) -> Iterator[_Way]:
    node, output, flat, _ = scene.behind_gradient(node, output, flat)
    arriving = scene.incoming(node, output)
    if depth > DEEPEST or scene.changed(node, output) or (arriving and node in scene.roots):
        raise _NoLine
    if not arriving:
        count[0] += 1
        if count[0] > MOST_PATHS:
            raise _NoLine
        seed = scene.numbers.array("used", node, output)
        start = float(seed.reshape(-1)[flat]) if seed is not None else 1.0
        yield _Way(() if start == 1 else ((node, shown(start)),), start)
        return
    found = contributions(scene, node, output, flat)
    if found is None:
        raise _NoLine
    for each in found:
        for way in _ways(scene, each.source, each.output, each.result, depth + 1, count):
            yield _Way((*way.factors, *_factor(scene, each)), way.value * each.factor)


def _factor(scene: PassScene, each: ProductTerm) -> tuple[tuple[int, str], ...]:
    local = scene.local(each.source)
    if each.factor == 1 and local.rule is not None and not local.rule.needs[each.operand]:
        return ()
    return ((each.source, worked(scene, each)),)


def _bracketed(ways: list[_Way]) -> str:
    """Return the sum of the ways. Factors with which all of them begin are written once, in front."""
    common: list[str] = []
    factors = [list(way.factors) for way in ways]
    while len(ways) > 1 and all(factors) and len({each[0] for each in factors}) == 1:
        common.append(factors[0][0][1])
        factors = [each[1:] for each in factors]
    front = [text for text in common if text != "1"]
    terms = [_product([text for _, text in each]) for each in factors]
    shown_terms = terms[:MOST_SHOWN]
    text = shown_terms[0]
    for term in shown_terms[1:]:
        text += f" − {term[1:]}" if term.startswith("−") else f" + {term}"
    if len(terms) > MOST_SHOWN:
        text += f" + … ({len(terms) - MOST_SHOWN} more)"
    return f"{_product(front)}·[{text}]" if front and len(terms) > 1 else _product([*front, text]) if front else text


def _product(texts: list[str]) -> str:
    """Return factors as a product. Factors of −1 become a sign in front."""
    sign = ""
    kept: list[str] = []
    for text in texts:
        if text == "−1":
            sign = "" if sign else "−"
            continue
        kept.append(text)
    if not kept:
        return f"{sign}1"
    first, *others = kept
    return sign + "·".join(
        [first, *(f"({text})" if text.startswith("−") or " " in _outside(text) else text for text in others)]
    )


def _outside(text: str) -> str:
    """Return the parts of a text that are not in parentheses."""
    depth, found = 0, ""
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        found += character if not depth else ""
    return found
