"""Define the problems of a lesson, and the error that lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from ..errors import BadRequest


class LessonProblem(Struct, frozen=True, order=True):
    """A problem of a lesson: the file, the line, and a sentence that names the remedy."""

    file: str
    line: int
    what: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {'' if self.severity == 'error' else 'warning: '}{self.what}"


class LessonError(BadRequest):
    """A lesson, or a folder of lessons, cannot be read. ``problems`` are all reasons."""

    def __init__(self, problems: Sequence[LessonProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)
