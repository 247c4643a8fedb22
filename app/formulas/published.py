"""Quote the definitions of derivatives that PyTorch is generated from, for nodes without a rule of their own.

The installed package `torchgen`, which comes with `torch`, has them in `derivatives.yaml`. The file is read as text: neither
package is imported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from msgspec import Struct

_FILE: Final = Path("packaged/autograd/derivatives.yaml")
_ENTRY: Final = re.compile(r"^- name: (\w+)(?:\.\w+)?(\(.*)$")
_LINE: Final = re.compile(r"^(?:  |      )(\w+(?:, ?\w+)*):(?: (.*))?$")
_NOT_OPERANDS: Final = frozenset(
    {"result", "result0", "result1", "result2", "output_differentiability", "dispatch", "Default", "AutogradNestedTensor"}
)
"""Keys of a definition that are not operands. Under ``dispatch``, the operands are listed for each dispatch key."""
_LONGEST: Final = 600
"""Largest number of characters of a quotation."""


class PublishedDefinition(Struct, frozen=True):
    """A definition of PyTorch's: the operation with its parameters, and for each operand an expression in C++."""

    signature: str
    gradients: Mapping[str, str]


@cache
def published() -> Mapping[str, PublishedDefinition]:
    """Return the definitions by the class of a node, such as `AddmmBackward0`; none if the file is not installed."""
    spec = find_spec("torchgen")
    paths = [Path(each) / _FILE for each in (spec.submodule_search_locations or ())] if spec is not None else []
    text = next((path.read_text("utf-8") for path in paths if path.is_file()), "")
    return dict(definitions(text))


def definitions(text: str) -> Iterator[tuple[str, PublishedDefinition]]:
    """Yield each definition with the class of its node. Definitions of the same operation are numbered in their order.

    >>> list(definitions("- name: cos(Tensor self) -> Tensor\\n  self: grad * -self.sin()\\n"))[0][1].gradients
    {'self': 'grad * -self.sin()'}
    """
    numbers = Counter[str]()
    for entry in re.split(r"\n(?=- name: )", text):
        first, *lines = entry.splitlines() or [""]
        found = _ENTRY.match(first)
        if found is None:
            continue
        camel = "".join(part.title() for part in found[1].split("_"))
        kind = f"{camel}Backward".replace("ForwardBackward", "Backward")
        signature = f"{found[1]}{found[2]}"
        yield f"{kind}{numbers[kind]}", PublishedDefinition(signature, dict(reversed(list(_gradients(lines)))))
        numbers[kind] += 1


def _gradients(lines: list[str]) -> Iterator[tuple[str, str]]:
    name, parts = "", list[str]()
    for line in [*lines, "  end: "]:
        found = _LINE.match(line)
        if found is None:
            if name and line.startswith("   ") and not line.lstrip().startswith("#"):
                parts.append(line.strip())
            continue
        if name and name not in _NOT_OPERANDS:
            code = " ".join(parts).strip().strip('"').strip()
            if code and code != "non_differentiable":
                yield name, code[:_LONGEST]
        name, parts = found[1], [found[2] or ""]
