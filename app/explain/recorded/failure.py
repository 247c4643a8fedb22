"""Describe an exception that autograd raised, for the rules that explain it."""

from __future__ import annotations

from dataclasses import dataclass

from ... import model
from ...recording import Recording
from ..program.syntax import Syntax
from .exceptions import AutogradException

_LONGEST = 40
"""Largest number of characters of an expression that is quoted in a sentence."""


@dataclass(frozen=True)
class Failure:
    """One exception, with the recording and the program in which it occurred."""

    recording: Recording
    syntax: Syntax
    exception: AutogradException

    @property
    def operation(self) -> str:
        """The operation that raised, as written in the program, with its line."""
        node = self.exception.node
        if node is None:
            return "an operation"
        text = f"`{node.call.rpartition('.')[2]}`" if node.call else f"`{node.op}`"
        if node.line is None or not 1 <= node.line <= len(self.syntax.lines):
            return text
        source = self.syntax.lines[node.line - 1][slice(*node.columns)] if node.columns is not None else ""
        return f"`{source}` on line {node.line}" if 0 < len(source) <= _LONGEST else f"{text} on line {node.line}"

    @property
    def line(self) -> int | None:
        """The line that raised: inside a hook or a custom function, if the exception came from there."""
        return self.exception.raised or self.exception.line

    @property
    def raising_line(self) -> str:
        """:attr:`line` as the subject of a sentence."""
        return f"Line {self.line}" if self.line is not None else "The program"

    @property
    def calling_line(self) -> str:
        """The line that called into autograd, as the subject of a sentence."""
        return f"Line {self.exception.line}" if self.exception.line is not None else "The program"

    def finding(self, code: str, message: str, why: str, *, line: int | None, fix: model.Fix | None = None) -> model.Finding:
        """Return a finding: an error if the exception ended the program, a note if the program caught it."""
        exception = self.exception
        return model.Finding(
            code=code,
            severity="error" if exception.ended else "note",
            file=None,
            line=line,
            step=exception.step,
            node=exception.node.id if exception.node is not None else None,
            message=message,
            why=why if exception.ended else f"{why} The program caught this error and continued.",
            fix=fix,
            pass_=exception.pass_,
        )
