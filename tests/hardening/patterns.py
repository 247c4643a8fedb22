"""Find every regular expression of the server's code, and make texts on which a backtracking expression never ends."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tapedeck.explain.registry import RULES
from tapedeck.explain.rules import backward_failed, nan_origin

APP = Path(__file__).parents[2] / "app"
LENGTH = 20_000
"""Characters of a bomb. A linear expression takes a millisecond for it, a quadratic one seconds."""
MESSAGE_LENGTH = 1_000
"""Characters of a bomb for an expression that reads an exception's message. Messages are cut to this length."""

IN_VARIABLES = {
    "findings:rule.MESSAGES": [rule.failure.MESSAGES for rule in RULES.values() if rule.failure is not None],
    "backward_failed:pattern": [pattern for pattern, _ in backward_failed._SENTENCES],
    "nan_origin:pattern": [pattern for table in (nan_origin._VALUES, nan_origin._SLOPES) for pattern, _ in table],
    "judge:f'(?<![\\\\w.]){re.escape(side)}(?!\\\\w)'": [r"(?<![\w.])m\.grad(?!\w)"],
    "written:f'\\\\b{re.escape(made.changed)}'": [r"\b\w+"],
    "mathml:simple": [r"[\w.]+"],
    "embed:f'{re.escape(root)}/(?:r|embed)/([\\\\w-]{{1,64}})'": [r"/prefix/(?:r|embed)/([\w-]{1,64})"],
}
"""Expressions that the code passes to :mod:`re` in a variable, by its module and the text of the argument."""


@dataclass(frozen=True)
class Pattern:
    """A regular expression, the methods by which the code uses it, and the length of the texts that it reads."""

    text: str
    flags: int
    methods: tuple[str, ...]
    length: int = LENGTH


def patterns() -> dict[str, Pattern]:
    """Return every regular expression outside of the tracer, by the module and the code that uses it."""
    found: dict[str, Pattern] = {}
    for path in sorted(APP.rglob("*.py")):
        parts = path.relative_to(APP).with_suffix("").parts
        if parts[0] in ("tracer", "examples", "__main__") or "versions" in parts or parts[-1] in ("env", "launch", "__main__"):
            continue
        module = importlib.import_module(".".join(["tapedeck", *(part for part in parts if part != "__init__")]))
        for name, pattern in _in_module(module, path.read_text()):
            found[f"{'/'.join(parts)}: {name}"] = pattern
    return found


def _in_module(module: ModuleType, source: str) -> Iterator[tuple[str, Pattern]]:
    for name, value in vars(module).items():
        for index, compiled in enumerate(value.values() if isinstance(value, dict) else [value]):
            if isinstance(compiled, re.Pattern) and re.search(rf"^{name}\b.* = ", source, re.MULTILINE):
                methods = tuple(re.findall(rf"\b{name}(?:\[\w+\])?\.(\w+)\(", source)) or ("finditer",)
                length = MESSAGE_LENGTH if "message[:MESSAGE_LIMIT])" in source else LENGTH
                yield f"{name} {index}", Pattern(compiled.pattern, compiled.flags, methods, length)
    short = module.__name__.rpartition(".")[2]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=method), args=[first, *_]) if method not in (
                "compile",
                "escape",
            ):
                text = ast.unparse(first)
                flags = next((_value(module, word.value) for word in node.keywords if word.arg == "flags"), 0)
                if (key := f"{short}:{text}") in IN_VARIABLES:
                    for index, pattern in enumerate(IN_VARIABLES[key]):
                        yield f"{text} {index}", Pattern(pattern, int(flags), (method,), MESSAGE_LENGTH)
                else:
                    value = _value(module, first)
                    written = value.decode("latin-1") if isinstance(value, bytes) else value
                    yield text, Pattern(written, int(flags), (method,))


def _value(module: ModuleType, node: ast.expr) -> Any:
    try:
        return eval(compile(ast.Expression(node), "<pattern>", "eval"), vars(module))
    except NameError as error:
        raise AssertionError(f"{module.__name__} uses {ast.unparse(node)}: list its expressions in IN_VARIABLES") from error


def bombs(pattern: Pattern) -> Iterator[str]:
    """Yield long texts made of a pattern's own characters, with beginnings and ends that the pattern does not expect."""
    length = pattern.length
    mentioned = sorted({character for character in re.sub(r"\\[a-zA-Z]", "", pattern.text) if not character.isalnum()})
    literals = re.findall(r"[A-Za-z][A-Za-z ,']+", pattern.text) or ["a"]
    for character in dict.fromkeys([" ", "a", "0", ".", *mentioned]):
        many = character * length
        yield from (many, f"a{many}!", f"{literals[0]}{many}\x00", f"a = {many}", f"[{many}", f"p0{many}")
    for unit in ("a ", "0,", "a.", "[0]", "\\'", "\\\\", "`a", "a[", "1e", "-0", *literals[:4]):
        yield unit * (length // len(unit)) + "!"


def feed(pattern: Pattern) -> int:
    """Use a pattern on its bombs as the code uses it, and return the number of matches. Run in a worker, within a budget."""
    compiled = re.compile(pattern.text, pattern.flags)
    count = 0
    for text in bombs(pattern):
        for method in pattern.methods:
            if method in ("match", "fullmatch", "search"):
                count += getattr(compiled, method)(text) is not None
            else:  # sub, split, findall and finditer
                count += sum(1 for _ in compiled.finditer(text))
    return count
