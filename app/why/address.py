"""Read and write the addresses of numbers in a recording, such as ``n3.grad[0]`` or ``w.update[1,2]``."""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import urlencode

import numpy as np
from msgspec import Struct, structs

from ..errors import InvalidInput

Part = Literal["value", "grad", "grad_before", "grad_used", "update", "after", "state"]
PARTS: Final = ("grad", "grad_before", "grad_used", "update", "after")
"""The parts of a parameter besides its value and its state."""
_ADDRESS: Final = re.compile(r"(?P<name>.+?)(?:\[(?P<element>\s*\d{1,9}\s*(?:,\s*\d{1,9}\s*)*)\])?", re.DOTALL)
_NODE: Final = re.compile(r"n(?P<node>\d{1,9})(?:\.(?P<output>\d{1,4}))?(?P<grad>\.grad)?")
_EDGE: Final = re.compile(r"e(\d{1,9})")


class NumberAddress(Struct, frozen=True):
    """The address of a number or of a tensor. ``owner`` is the kind of its owner: a node, an edge, or a name in the program.

    ``index`` is the index of the node or edge. ``name`` may be the id of a parameter. ``element`` is ``None`` for a whole
    tensor. ``step`` and ``pass_`` are ``None`` if they are not known. ``state`` names a part of an optimizer's state.
    """

    owner: Literal["node", "edge", "name"]
    part: Part
    index: int = -1
    name: str = ""
    output: int = 0
    element: tuple[int, ...] | None = None
    step: int | None = None
    pass_: int | None = None
    state: str = ""

    @property
    def of(self) -> str:
        """The text of the address without its step and pass.

        >>> NumberAddress("node", "grad", 3, element=(0,)).of, NumberAddress("name", "state", name="w", state="exp_avg").of
        ('n3.grad[0]', 'w.state.exp_avg')
        """
        element = "" if not self.element else f"[{','.join(map(str, self.element))}]"
        return f"{self.subject}{element}"

    @property
    def subject(self) -> str:
        """The text of the address without its element, step and pass."""
        if self.owner == "edge":
            return f"e{self.index}"
        if self.owner == "node":
            return f"n{self.index}" + (f".{self.output}" if self.output else "") + (".grad" if self.part == "grad" else "")
        part = {"value": "", "state": f".state.{self.state}"}.get(self.part, f".{self.part}")
        return f"{self.name}{part}"

    @property
    def href(self) -> str:
        """The URL of the number's explanation, relative to the route of a run's explanations."""
        given = {"of": self.of, "step": self.step, "pass": self.pass_}
        return f"why?{urlencode({name: value for name, value in given.items() if value is not None})}"

    def at(self, flat: int, shape: tuple[int, ...]) -> NumberAddress:
        """Return the address of an element, given its position in the flattened tensor."""
        element = tuple(int(at) for at in np.unravel_index(flat, shape)) if shape else ()
        return structs.replace(self, element=element)


def parse(text: str, step: int | None = None, pass_: int | None = None) -> NumberAddress:
    """Read an address. Raises :class:`InvalidInput` for a text that is not an address.

    >>> parse("n3.grad[0]").index, parse("net.0.weight.update[1, 2]").element, parse("m.grad").name
    (3, (1, 2), 'm')
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None:
        raise InvalidInput("of must name a number, such as `m.grad`, `n3` or `w.update[0,1]`.", where="query.of")
    element = tuple(int(each) for each in found["element"].split(",")) if found["element"] else None
    name = found["name"].strip()
    if (node := _NODE.fullmatch(name)) is not None:
        part: Part = "grad" if node["grad"] else "value"
        return NumberAddress("node", part, int(node["node"]), "", int(node["output"] or 0), element, step, pass_)
    if (edge := _EDGE.fullmatch(name)) is not None:
        return NumberAddress("edge", "grad", int(edge[1]), element=element, step=step, pass_=pass_)
    before, dot, state = name.partition(".state.")
    if dot and before:
        return NumberAddress("name", "state", name=before, element=element, step=step, pass_=pass_, state=state)
    owner, _, last = name.rpartition(".")
    if owner and last in PARTS:
        return NumberAddress("name", last, name=owner, element=element, step=step, pass_=pass_)  # type: ignore[arg-type]
    return NumberAddress("name", "value", name=name, element=element, step=step, pass_=pass_)
