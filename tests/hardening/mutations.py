"""Damage valid requests at random: their bytes, the structure of their JSON, and the text of their programs."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any, Final

NOTEBOOK: Final = {
    "nbformat": 4,
    "metadata": {"kernelspec": {"language": "python"}, "language_info": {"name": "python"}},
    "cells": [
        {"cell_type": "markdown", "source": "# Title"},
        {
            "cell_type": "code",
            "source": ["%matplotlib inline\n", "import torch\n", "x = torch.ones(2)\n", "!ls"],
            "outputs": [{}],
        },
        {"cell_type": "code", "source": '%%time\nfor i in range(3):\n    y = !echo {i}\n    x?\n"""a\n%b\n"""'},
    ],
}
TENSORS: Final = {
    "x": [1, 2.5],
    "w": {"values": [[1, 2], [3, 4]], "dtype": "float64", "requires_grad": False},
    "z": [[], []],
}
TRAINING: Final = {
    "parameters": {"m": 1, "b": {"values": [0.5], "dtype": "float32"}},
    "data": {"x": [1, 2], "y": ["NaN", True]},
    "loss": "((m * x + b - y) ** 2).mean()",
    "optimizer": {"name": "Adam", "lr": 0.01, "betas": [0.9, 0.99], "amsgrad": True, "foreach": None},
    "steps": 5,
}
PROGRAM: Final = """\
import torch

class A:
    def f(self, *a, b=1, **c):
        return [x for x in a if x] or {**c}

x = torch.tensor([1., 2.], requires_grad=True)
print(f'{x!r:>{10}}', A().f(lambda x: -x))
x.sum().backward()
"""
VALID: Final[list[tuple[str, Any]]] = [
    ("text/x-python", PROGRAM),
    ("application/x-ipynb+json", NOTEBOOK),
    ("application/x-ipynb+json", {"worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1\n", "%who"]}]}]}),
    ("application/json", {"notebook": NOTEBOOK, "seed": 3, "capture": "norms"}),
    ("application/json", {"program": PROGRAM, "seed": 1, "capture": "full", "values": 10, "store": False}),
    ("application/json", {"expression": "(F.relu(w @ x) ** 2).sum() + math.pi * np.e", "inputs": TENSORS}),
    ("application/json", {"training": TRAINING}),
]
PIECES: Final = (
    *"()[]{}'\"\\\n\r\t\0 %!?=:;,.#@~\x0c\x7f\u2028é", '"""', "  ", "%%", "%%time", ":=", "**", "->", "f'{", "0x", "1e999",
    "9" * 400, "\ud800", "\ufeff", "\u202e", "ﬁ", "if ", "else", "lambda", "await ", "yield", "import ", "match x:", "\\u",
    "\\ud800", "null", "-1", "NaN", "//",
)  # fmt: skip
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1.5, 2**63, 10**30, 1e308, "", "x", "NaN", "\0", "é" * 50, [], {}, [[]], [None], {"": {}},
    [[[[[[]]]]]], "import torch", "__class__", "for", "float32", [1, [2]], {"values": []}, {"name": None}, ["x", 1],
    "%%time\n%%time", "a" * 300,
)  # fmt: skip


def mutated(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield ``count`` damaged requests as media type and body."""
    chance = random.Random(seed)
    for _ in range(count):
        media_type, valid = chance.choice(VALID)
        value = copy.deepcopy(valid)
        if not isinstance(value, str):
            for _ in range(chance.choice((0, 1, 1, 2, 4))):
                value = _damaged(value, chance)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=chance.random() < 0.5)
        body = text.encode("utf-8", "surrogatepass")
        if isinstance(valid, str) or chance.random() < 0.3:
            for _ in range(chance.choice((1, 1, 2, 5, 20))):
                body = _spoiled(body, chance)
        yield chance.choice(VALID)[0] if chance.random() < 0.05 else media_type, body


def _damaged(value: Any, chance: random.Random) -> Any:
    """Return JSON in which one part is replaced, removed, repeated, renamed, or has its text damaged."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.1:
        if isinstance(value, str) and chance.random() < 0.7:
            return _inserted(value, chance)
        return copy.deepcopy(chance.choice(VALUES))
    key: Any = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
    match chance.randrange(10):
        case 0:
            del value[key]
        case 1 if isinstance(value, dict):
            value[chance.choice(["", "x", "values", "é", "a" * 200, key * 2])] = value.pop(key)
        case 2 if isinstance(value, list):
            value *= chance.choice((2, 30))
        case 3:
            return [value] if chance.random() < 0.5 else {"x": value}
        case _:
            value[key] = _damaged(value[key], chance)
    return value


def _inserted(text: str, chance: random.Random) -> str:
    at = chance.randint(0, len(text))
    end = at + chance.choice((0, 0, 1, 5))
    return text[:at] + chance.choice(PIECES) * chance.choice((1, 1, 1, 3, 200)) + text[end:]


def _spoiled(body: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(body))
    match chance.randrange(5):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
        case 2:
            return body[:at] + body[at + chance.randint(1, 20) :]
        case 3:
            return body[:at] + body[max(0, at - 20) :]
        case _:
            return body[:at] + chance.choice(PIECES).encode("utf-8", "surrogatepass") + body[at:]
