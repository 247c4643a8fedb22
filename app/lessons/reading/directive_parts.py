"""Take a directive of a lesson apart: its argument, its options, the blocks inside it, and the prose around them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from ..document import Block, Bound, LessonCell, Scope, StageView
from . import markdown


class Source(Struct, frozen=True):
    """The text of a directive: its argument, its options, and the rest, which begins on line ``start``."""

    argument: str
    options: dict[str, str]
    body: str
    line: int
    start: int

    def line_of(self, option: str) -> int:
        """Return the line of an option, or the first line of the directive if it does not have the option."""
        return self.line + 1 + list(self.options).index(option) if option in self.options else self.line


class Reading(Protocol):
    """The parts of the lesson's reader that a directive uses."""

    @property
    def cells(self) -> dict[str, list[LessonCell]]: ...
    @property
    def scope(self) -> Scope | None: ...
    def blocks(self, text: str, first: int) -> list[Block]: ...
    def bound(self, shown: str, binding: str, line: int) -> Bound: ...
    def report(self, line: int, what: str) -> None: ...
    def name(self, name: str, line: int) -> str: ...
    def name_from(self, text: str) -> str: ...
    def view(self, text: str, line: int) -> StageView | None: ...
    def options(self, content: str, line: int, known: Sequence[str]) -> tuple[dict[str, str], str, int]: ...


class Parts:
    """The blocks inside a directive, which are taken by their names, and the prose around them."""

    def __init__(self, reading: Reading, source: Source) -> None:
        self._reading = reading
        self._tokens: list[tuple[str, str, int, str]] = []
        """The blocks not taken yet: name, argument, line, and text below the first line."""
        lines = source.body.split("\n")
        prose = list(lines)
        for token in markdown.parser().parse(source.body):
            head = re.fullmatch(r"\{([a-z-]+)\}\s*(.*)", token.info.strip(), re.DOTALL)
            if token.type == "colon_fence" and head and head[1] in _INSIDE and token.map and token.level == 0:
                start, stop = token.map
                self._tokens.append((head[1], head[2].strip(), source.start + start, token.content))
                prose[start:stop] = [""] * (stop - start)
        self.prose = "\n".join(prose)
        """The prose around the blocks. Each line of a block is an empty line in it."""

    def take(self, name: str) -> list[tuple[str, int, str]]:
        """Return the argument, line and text of each block with a name."""
        taken = [each[1:] for each in self._tokens if each[0] == name]
        self._tokens = [each for each in self._tokens if each[0] != name]
        return taken

    def end(self, directive: str) -> None:
        """Report the blocks that were not taken."""
        for name, _, line, _ in self._tokens:
            self._reading.report(line, f"A {{{name}}} does not belong in {{{directive}}}.")


_INSIDE: Final = ("reply", "hint", "solution", "mistake", "sees", "then")
