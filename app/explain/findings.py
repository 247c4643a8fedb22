"""Run every rule on a recording. Correct code gets no error and no warning, and a fix removes the finding."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import structs

from .. import model
from ..recording import Recording
from .exceptions import MESSAGE_LIMIT, autograd_exceptions
from .failure import Failure
from .registry import RULES, help_path
from .rule import FailureRule
from .rules import backward_failed, leaf_kept
from .syntax import Syntax

_SEVERITIES: Final = ("error", "warning", "note", "good")
_CAUSES: Final = frozenset({"leaf-rebound", "requires-grad-late"})
_CONSEQUENCES: Final = frozenset({"no-grad-path", "non-leaf-grad"})
"""Codes of findings that are left out if an error of ``_CAUSES`` explains the same problem."""
_FAILURE_RULES: Final[tuple[FailureRule, ...]] = tuple(rule.failure for rule in RULES.values() if rule.failure is not None)
_ORDER: Final = {code: index for index, code in enumerate(RULES)}


def find(recording: Recording, program: model.Program) -> list[model.Finding]:
    """Return all findings of a run, the most severe first, then by line."""
    syntax = Syntax(program.text)
    found = list(_of_failures(recording, syntax))
    for rule in RULES.values():
        if rule.recording is not None and rule.code != leaf_kept.CODE:
            found += rule.recording.find(recording, program, syntax)
    if any(finding.code in _CAUSES and finding.severity == "error" for finding in found):
        found = [finding for finding in found if finding.code not in _CONSEQUENCES]
    if not any(finding.severity in ("error", "warning") for finding in found):
        found += leaf_kept.find(recording, program, syntax)  # a good sign would distract from a mistake
    found.sort(key=lambda finding: (_SEVERITIES.index(finding.severity), finding.line or 0, _ORDER[finding.code]))
    return [
        structs.replace(finding, help=help_path(finding.code), origin=finding.origin or _origin(finding, recording))
        for finding in found
    ]


def _origin(finding: model.Finding, recording: Recording) -> model.FileLine | None:
    """Return the line in a module of the user's own that made a finding's node."""
    if finding.node is None:
        return None
    _, passes, steps = recording.log.counts()
    index = -1 if finding.pass_ is None else finding.pass_
    if index < 0 and finding.step is not None and finding.step < steps:
        index = recording.log.step(finding.step).main
    graph = recording.log.pass_(index).graph if 0 <= index < passes else -1
    nodes = recording.graph(graph).nodes if graph >= 0 else []
    return next((node.origin for node in nodes if node.id == finding.node), None)


def _of_failures(recording: Recording, syntax: Syntax) -> Iterator[model.Finding]:
    """Yield one finding for each exception of autograd that a rule explains, and for each other failure of a pass."""
    reported: set[tuple[str, int | None]] = set()
    # the exception that ended the program comes first, so that a note about the same failure is left out
    for exception in reversed(autograd_exceptions(recording)):
        message = exception.message[:MESSAGE_LIMIT]
        rule = next((rule for rule in _FAILURE_RULES if re.search(rule.MESSAGES, message)), None)
        if rule is None and exception.pass_ is not None:
            rule = backward_failed
        if rule is not None:
            finding = rule.explain(Failure(recording, syntax, exception))
            if (finding.code, finding.line) not in reported:
                reported.add((finding.code, finding.line))
                yield finding
