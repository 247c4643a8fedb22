"""Explain the gradient at an element: the terms that arrived along the edges, each a product with a local derivative."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import numpy as np
from msgspec import Struct

from .. import model
from ..formulas.latex import latex, named, number
from ..formulas.published import published
from ..formulas.typeset import FRACTIONS
from .address import NumberAddress
from .answer import Why, WhyLink, WhyTerm
from .mathml import formula, plain
from .names import factor_name, number_of, shown
from .scene import PassScene
from .sums import SumOfTerms
from .unrecorded import elements_of, unrecorded

MOST_RULES: Final = 3
"""Largest number of edges whose rules are written into one formula."""


class ProductTerm(Struct, frozen=True):
    """A product that is part of a gradient: ``value`` is ``factor`` times the gradient that the node ``source`` used.

    ``factor`` is the derivative of the element ``result`` of an ``output`` by the ``element`` of an operand.
    """

    edge: model.Edge
    source: int
    operand: str
    element: int
    output: int
    result: int
    factor: float
    value: float


def contributions(scene: PassScene, node: int, output: int, flat: int) -> list[ProductTerm] | None:
    """Return the products whose sum is the gradient at an element; ``None`` if one of them is not known."""
    found: list[ProductTerm] = []
    for _, edge in scene.incoming(node, output):
        terms = of_edge(scene, edge, flat)
        if terms is None:
            return None
        found += terms
    return found


def of_edge(scene: PassScene, edge: model.Edge, flat: int) -> list[ProductTerm] | None:
    """Return the products whose sum is an element of the gradient on an edge; ``None`` if they are not known."""
    source = int(edge.source[1:])
    local, operand = scene.local(source), scene.operand_of(edge)
    entries = local.column(operand, flat) if operand is not None else None
    if operand is None or entries is None:
        return None
    return [
        ProductTerm(edge, source, operand, flat, output, at, factor, factor * float(local.grads[output].reshape(-1)[at]))
        for output, at, factor in entries
    ]


def explain_gradient(scene: PassScene, node: int, output: int, flat: int) -> Why:
    """Return why a gradient at an element of a node's result is what it is."""
    asked = scene.numbers.array("arrived", node, output)
    shape = () if asked is None else tuple(asked.shape)
    address = _address(scene, node, output, flat, shape)
    name = scene.gradient_name(node, flat, shape, output)
    there, there_output, place, skipped = scene.behind_gradient(node, output, flat)
    array = scene.numbers.array("arrived", there, there_output)
    if array is None:
        return absent(scene, address, name, there)
    value = float(array.reshape(-1)[place])
    common: dict[str, Any] = {
        "of": address.of, "name": name, "value": number_of(value), "step": scene.event.step, "pass_": scene.index,
        "element": list(address.element or ()), "path": skipped, **of_node(scene, there),
    }  # fmt: skip
    edges = scene.incoming(there, there_output)
    if not edges:
        text = (
            f"The pass starts here: `{scene.root}` with respect to itself has the derivative 1."
            if value == 1
            else (f"The pass starts here with the gradient {shown(value)}, which the program gave it.")
        )
        return Why(kind="start", sentence=text, **common)
    found = contributions(scene, there, there_output, place)
    if found is None:
        return _by_edges(scene, edges, place, value, common)
    total = SumOfTerms(value)
    if there in scene.roots and (start := _start(scene, edges, place, value)):
        total.add(WhyTerm(number_of(start), 0.0, None, f"{shown(start)}, with which the pass starts", None), start)
    for each in found:
        total.add(partial(_term, scene, each), each.value)
    return total.answer(
        sentence=_sentence(scene, edges, found, there),
        rule=formula(rule_latex(scene, there, [edge for _, edge in edges])),
        replay=_factors_replay(scene, edges[0][1]),
        **common,
    )


def _start(scene: PassScene, edges: list[tuple[int, model.Edge]], flat: int, value: float) -> float:
    """Return the gradient that the program gave to a root, apart from the gradients that arrive at the root."""
    arrays = [scene.numbers.array("edge", at) for at, _ in edges]
    return value - math.fsum(float(array.reshape(-1)[flat]) for array in arrays if array is not None)


def _address(scene: PassScene, node: int, output: int, flat: int, shape: tuple[int, ...]) -> NumberAddress:
    return NumberAddress("node", "grad", node, output=output, step=scene.event.step, pass_=scene.index).at(flat, shape)


def of_node(scene: PassScene, node: int) -> dict[str, Any]:
    """Return the fields of an answer about a node of a graph."""
    found = scene.graph.nodes[node]
    line = found.line if found.file is None else None
    return {"node": found.id, "program_line": line, "source": scene.recording.source(line)}


def absent(scene: PassScene, address: NumberAddress, name: str, node: int) -> Why:
    """Return the answer for a number that the recording does not have."""
    event = scene.numbers.arrived(node)
    common: dict[str, Any] = {
        "of": address.of, "name": name, "value": None, "element": list(address.element or ()), "step": scene.event.step,
        "pass_": scene.index, **of_node(scene, node),
    }  # fmt: skip
    if event is None:
        return Why(kind="absent", sentence="No gradient arrived here in this pass.", **common)
    return Why(kind="unknown", **unrecorded(scene.recording, event, scene.event.step), **common)


def _by_edges(scene: PassScene, edges: list[tuple[int, model.Edge]], flat: int, value: float, common: dict[str, Any]) -> Why:
    """Return the answer for a gradient whose products are not known: a term for each edge, which links to the edge's source."""
    quoted = published_of(scene, edges)
    total = SumOfTerms(value)
    for at, edge in edges:
        array = scene.numbers.array("edge", at)
        source = int(edge.source[1:])
        link = scene.gradient(source, 0, _largest(scene, source))
        sent = math.nan if array is None else float(array.reshape(-1)[flat])
        total.add(WhyTerm(number_of(sent), 0.0, None, f"sent by {factor_name(scene.name(source))}", link, [], edge.id), sent)
    which = ", ".join(dict.fromkeys(f"`{scene.graph.nodes[int(edge.source[1:])].op}`" for _, edge in edges[:MOST_RULES]))
    sentence = f"It is the sum of the gradients on {len(edges)} edges. " if len(edges) > 1 else ""
    if any(scene.lacks_elements(int(edge.source[1:])) for _, edge in edges):
        sentence += f"The elements from which {which} computed it were not recorded. A replay records them."
        replay = elements_of(scene.event.step)
    else:
        sentence += f"The recorded numbers do not show how {which} computed it. A replay computes its local derivatives."
        replay = _factors_replay(scene, edges[0][1])
    return total.answer(sentence=sentence, published=quoted, replay=replay, **common)


def _largest(scene: PassScene, node: int) -> int:
    used = scene.numbers.array("used", node, 0)
    return 0 if used is None or not used.size else int(np.nanargmax(np.abs(np.nan_to_num(used.reshape(-1)))))


def published_of(scene: PassScene, edges: list[tuple[int, model.Edge]]) -> dict[str, str]:
    """Return PyTorch's definitions of the derivatives of edges whose operations have no rule."""
    found: dict[str, str] = {}
    for _, edge in edges[:MOST_RULES]:
        op = scene.graph.nodes[int(edge.source[1:])].op
        definition = published().get(op)
        if definition is not None and scene.local(int(edge.source[1:])).rule is None:
            found |= {f"{op}: {definition.signature}": "; ".join(f"{k}: {v}" for k, v in definition.gradients.items())}
    return found


def _factors_replay(scene: PassScene, edge: model.Edge) -> dict[str, Any]:
    return {"what": "factors", "step": scene.event.step, "pass": scene.index, "node": edge.source}


def _term(scene: PassScene, each: ProductTerm) -> WhyTerm:
    node, output, place, _ = scene.behind_gradient(each.source, each.output, each.result)
    link = scene.gradient(node, output, place)
    text = worked(scene, each)
    grad = shown(link.value)
    text = grad if text == "1" else f"−{grad}".replace("−−", "") if text == "−1" else f"{text}·{_factor(grad)}"
    return WhyTerm(number_of(each.value), 0.0, number_of(each.factor), text, link, reads(scene, each), each.edge.id)


def _factor(text: str) -> str:
    return f"({text})" if text.startswith("−") else text


def reads(scene: PassScene, each: ProductTerm) -> list[WhyLink]:
    """Return the numbers from which a local derivative was computed, or an element of the operand if none can be located."""
    local = scene.local(each.source)
    found: dict[str, WhyLink] = {}
    target = int(each.edge.target[1:])
    places = local.reads(each.operand, each.result, each.element, "column", each.output)
    for name, place in places:
        of = (each.source, 0) if name == "result" else local.target(name)
        if of is not None:
            node, output, flat, _ = scene.behind_value(of[0], place, of[1])
            link = scene.value(node, flat, output)
            found[link.of] = link
    if (
        not found
        and local.rule is not None
        and not local.rule.plain
        and local.rule.needs[each.operand]
        and scene.numbers.array("value", target) is not None
    ):
        link = scene.value(target, min(each.result, scene.numbers.array("value", target).size - 1))  # type: ignore[union-attr]
        found[link.of] = link
    return list(found.values())


def worked(scene: PassScene, each: ProductTerm) -> str:
    """Return a local derivative written out with numbers, such as `2·(1 − 2)`."""
    local = scene.local(each.source)
    rule, whole = local.rule, local.whole(each.operand)
    if rule is None or local.grad is None or whole is None:
        return _fraction(each.factor)
    place = each.result if whole == local.grad.shape else each.element
    texts = {"grad": "1", **{name: _latex_number(value) for name, value in (local.options or {}).items()}}
    for name in (*rule.needs[each.operand], "result"):
        array = local.known.get(name)
        if array is None:
            continue
        at = int(np.broadcast_to(np.arange(array.size).reshape(array.shape), whole).reshape(-1)[place])
        texts[name] = _opened(scene, local.target(name), at) or number(float(array.reshape(-1)[at]))
    return plain(latex(rule.gradients[each.operand], {**texts, **sizes(local, texts)}))


def _opened(scene: PassScene, target: tuple[int, int] | None, place: int) -> str | None:
    """Return an operand as the difference or the sum that computed it, such as `1 - 2`."""
    if target is None:
        return None
    local = scene.local(target[0])
    if local.rule is None or local.rule.op not in ("SubBackward0", "AddBackward0"):
        return None
    first, second, result = (local.known.get(name) for name in ("self", "other", "result"))
    if first is None or second is None or result is None:
        return None
    numbers = [
        float(each.reshape(-1)[np.broadcast_to(np.arange(each.size).reshape(each.shape), result.shape).reshape(-1)[place]])
        for each in (first, second)
    ]
    added = local.rule.op == "AddBackward0"
    if (numbers[0] + numbers[1] if added else numbers[0] - numbers[1]) != float(result.reshape(-1)[place]):
        return None
    right = number(numbers[1])
    return f"{number(numbers[0])} {'+' if added else '-'} " + (rf"\left({right}\right)" if right.startswith("-") else right)


def _latex_number(value: Any) -> str:
    return number(float(value)) if isinstance(value, int | float) else str(value)


def _fraction(value: float) -> str:
    """Return a derivative as text: the inverse of a whole number as a fraction.

    >>> _fraction(1 / 3), _fraction(0.25), _fraction(-2.0)
    ('⅓', '0.25', '−2')
    """
    inverse = 1 / value if value else 0.0
    whole = round(inverse)
    if whole > 2 and abs(inverse - whole) < 1e-9 * whole and len(f"{value:.12g}") > 6:
        return FRACTIONS.get(whole) or f"1/{whole}"
    return shown(value)


def sizes(local: Any, texts: Mapping[str, str]) -> dict[str, str]:
    """Return the LaTeX of the names in a rule that stand for a number of elements, such as ``size(self)``."""
    found: dict[str, str] = {}
    for name, array in local.known.items():
        found[f"size({name})"] = str(np.size(array))
        dim = (local.options or {}).get("dim")
        if dim is not None and np.ndim(array):
            dims = dim if isinstance(dim, tuple) else (dim,)
            if all(-np.ndim(array) <= each < np.ndim(array) for each in dims):
                found[f"size({name}, dim)"] = str(math.prod(np.shape(array)[each] for each in dims))
    n = (local.options or {}).get("n")
    if isinstance(n, str):
        found["n"] = found.get(n, n)
    elif n is not None:
        found["n"] = str(n)
    return found


def rule_latex(scene: PassScene, node: int, edges: list[model.Edge]) -> str:
    """Return the local rule of a gradient in the program's own names, as LaTeX."""
    parts: list[str] = []
    for edge in edges[:MOST_RULES]:
        source = int(edge.source[1:])
        local, operand = scene.local(source), scene.operand_of(edge)
        if local.rule is None or operand is None:
            return ""
        names = {name: named(scene.name(*target)) for name in local.edges if (target := local.target(name))}
        names |= {"result": named(scene.name(source)), "grad": _partial(scene, source)}
        names |= {name: _latex_number(value) for name, value in (local.options or {}).items()}
        names |= sizes(local, names)
        for name in local.rule.needs[operand]:
            if name not in names and name in local.known and np.size(local.known[name]) == 1:
                names[name] = number(float(local.known[name].reshape(-1)[0]))
        text = latex(local.rule.gradients[operand], names)
        shape = local.shape(operand)
        elementwise = local.grad is not None and local.whole(operand) == local.grad.shape
        summed = shape is not None and local.grad is not None and elementwise and local.grad.size > math.prod(shape)
        parts.append(rf"\sum {text}" if summed else text)
    more = r" + \dots" if len(edges) > MOST_RULES else ""
    return rf"{_partial(scene, node)} = {' + '.join(parts)}{more}"


def _partial(scene: PassScene, node: int) -> str:
    """Return the gradient of the loss by a node's result as LaTeX."""
    return rf"\frac{{\partial {named(scene.root)}}}{{\partial {named(scene.name(node))}}}"


def _sentence(scene: PassScene, edges: list[tuple[int, model.Edge]], found: list[ProductTerm], node: int) -> str:
    name = scene.name(node)
    if not found:
        return f"`{name}` does not change `{scene.root}` here: every local derivative is 0."
    where = f"{len(edges)} uses of `{name}`" if len(edges) > 1 else f"`{scene.name(int(edges[0][1].source[1:]))}`"
    if len(found) == 1:
        return f"It came through {where}: the gradient there times the local derivative {_fraction(found[0].factor)}."
    return f"It is the sum of {len(found):,} products that came through {where}."
