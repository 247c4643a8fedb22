"""Hold one exception out of autograd with all that a finding may be made of."""

from __future__ import annotations

from dataclasses import dataclass

from .. import model
from ..recording import Recording
from .syntax import Syntax
from .troubles import Trouble


@dataclass(frozen=True)
class Failure:
    """One exception, in its recording and its program."""

    recording: Recording
    syntax: Syntax
    trouble: Trouble

    @property
    def made(self) -> str:
        """The node that raised, as the person wrote it, with its line."""
        node = self.trouble.node
        if node is None:
            return "an operation"
        text = f"`{node.call.rpartition('.')[2]}`" if node.call else node.op
        if node.line is None or not 1 <= node.line <= len(self.syntax.lines):
            return text
        written = self.syntax.lines[node.line - 1][slice(*node.columns)] if node.columns is not None else ""
        return f"`{written}` on line {node.line}" if 0 < len(written) <= 40 else f"{text} on line {node.line}"

    @property
    def at(self) -> int | None:
        """The line that raised, inside a hook or a function where it was there."""
        return self.trouble.raised or self.trouble.line

    @property
    def here(self) -> str:
        """That line at the beginning of a sentence."""
        return f"Line {self.at}" if self.at is not None else "The program"

    @property
    def stop(self) -> str:
        """The line that the exception came out of, at the beginning of a sentence."""
        return f"Line {self.trouble.line}" if self.trouble.line is not None else "The program"

    def finding(self, code: str, message: str, why: str, *, line: int | None, fix: model.Fix | None = None) -> model.Finding:
        trouble = self.trouble
        return model.Finding(
            code=code,
            severity="error" if trouble.ended else "note",
            file=None,
            line=line,
            step=trouble.step,
            node=trouble.node.id if trouble.node is not None else None,
            message=message,
            why=why if trouble.ended else f"{why} The program caught this and went on.",
            fix=fix,
            pass_=trouble.pass_,
        )


def short(text: str) -> str:
    """The first line of a text, cut where it is long."""
    line = text.split("\n")[0]
    return line if len(line) <= 80 else f"{line[:79]}…"
