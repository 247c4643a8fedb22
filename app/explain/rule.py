"""Define the protocols of rules. A rule is a module in ``rules/`` that makes one kind of finding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from .. import model
from ..recording import Recording
from .documentation import RuleDocumentation
from .program.syntax import Syntax
from .recorded.failure import Failure


class RecordingRule(Protocol):
    """A module that looks for its findings in a whole recording."""

    CODE: str
    SEVERITIES: tuple[model.Severity, ...]
    __doc__: str | None

    def find(self, recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[model.Finding]:
        """Yield the findings of one run."""


class FailureRule(Protocol):
    """A module that explains the exceptions of autograd whose message matches ``MESSAGES``."""

    CODE: str
    SEVERITIES: tuple[model.Severity, ...]
    MESSAGES: str
    __doc__: str | None

    def explain(self, failure: Failure) -> model.Finding | None:
        """Return the finding for one exception, ``None`` if the rule does not apply although the message matches."""


@dataclass(frozen=True)
class Rule:
    """An entry of the registry. Either ``recording`` or ``failure`` is set: the module that implements the rule."""

    code: str
    severities: tuple[model.Severity, ...]
    documentation: RuleDocumentation
    recording: RecordingRule | None = None
    failure: FailureRule | None = None


def note(code: str, line: int | None, message: str, why: str) -> model.Finding:
    """Return a note about a line, or about the whole run if ``line`` is ``None`` or not positive."""
    return model.Finding(
        code=code,
        severity="note",
        file=None,
        line=line if line is not None and line > 0 else None,
        step=None,
        node=None,
        message=message,
        why=why,
    )
