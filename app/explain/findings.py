"""Run every rule on a recording. Correct code gets no error and no warning, and a fix removes its finding."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from msgspec import Struct, structs

from .. import model
from ..recording import Recording
from .program.syntax import Syntax
from .recorded.exceptions import MESSAGE_LIMIT, AutogradException, autograd_exceptions
from .recorded.failure import Failure
from .registry import RULES, help_path
from .rule import FailureRule
from .rules import backward_failed, leaf_kept

MOST: Final = 50
"""Largest number of findings of one rule. A person needs no more to see the kind of mistake."""
EXCEPTIONS: Final = 200
"""Largest number of different exceptions that are explained."""
_SEVERITIES: Final = ("error", "warning", "note", "good")
_CONSEQUENCES: Final = {
    "leaf-rebound": ("no-grad-path", "non-leaf-grad"),
    "requires-grad-late": ("no-grad-path", "non-leaf-grad"),
    "loss-is-leaf": ("unused-parameter",),
}
"""For the code of an error, the codes of findings that are left out because the error explains the same problem."""
_FAILURE_RULES: Final[tuple[FailureRule, ...]] = tuple(rule.failure for rule in RULES.values() if rule.failure is not None)
_ORDER: Final = {code: index for index, code in enumerate(RULES)}

log = logging.getLogger(__name__)


class RuleFindings(Struct, frozen=True):
    """The findings of one rule. ``complete`` is false if the rule failed, or has more findings than are shown."""

    code: str
    findings: list[model.Finding]
    complete: bool


class Findings(Struct, frozen=True):
    """The findings of a run, the most severe first, then by line, and the codes of the rules that did not finish."""

    findings: list[model.Finding]
    omitted: list[str]


def find(recording: Recording, program: model.Program) -> list[model.Finding]:
    """Return the findings of a run in order, without a limit on the time."""
    return arranged(of_rules(recording, program)).findings


def arranged(found: Iterable[RuleFindings]) -> Findings:
    """Return the findings of all rules in order. A rule that is missing in ``found`` did not finish."""
    by_code = {each.code: each for each in found}
    omitted = [code for code in RULES if code not in by_code or not by_code[code].complete]
    every = [finding for each in by_code.values() for finding in each.findings]
    explained = {code for each in every if each.severity == "error" for code in _CONSEQUENCES.get(each.code, ())}
    every = [finding for finding in every if finding.code not in explained]
    every.sort(key=lambda finding: (_SEVERITIES.index(finding.severity), finding.line or 0, _ORDER[finding.code]))
    return Findings([structs.replace(finding, help=help_path(finding.code)) for finding in every], omitted)


def of_rules(recording: Recording, program: model.Program) -> Iterator[RuleFindings]:
    """Run one rule after the other, and yield the findings of each. A rule that fails does not affect the others."""
    syntax = Syntax(program.text)
    mistakes, whole = False, True
    for each in _of_most_rules(recording, program, syntax):
        mistakes = mistakes or any(finding.severity in ("error", "warning") for finding in each.findings)
        whole = whole and each.complete
        yield each
    if mistakes:
        yield RuleFindings(leaf_kept.CODE, [], True)  # a good sign would distract from a mistake
    elif whole:
        yield _collected(leaf_kept.CODE, leaf_kept.find(recording, program, syntax), recording)


def _of_most_rules(recording: Recording, program: model.Program, syntax: Syntax) -> Iterator[RuleFindings]:
    """Yield the findings of all rules except ``leaf_kept``, which depends on the findings of the others."""
    yield from _of_failures(recording, syntax)
    for rule in RULES.values():
        if rule.recording is not None and rule.code != leaf_kept.CODE:
            yield _collected(rule.code, rule.recording.find(recording, program, syntax), recording)


def _collected(code: str, found: Iterator[model.Finding], recording: Recording) -> RuleFindings:
    """Return at most ``MOST`` findings of a rule. If the rule fails, return the findings before its failure."""
    findings: list[model.Finding] = []
    try:
        for finding in islice(found, MOST):  # not a comprehension: the first findings are kept if the rule fails later
            findings.append(structs.replace(finding, origin=finding.origin or _origin(finding, recording)))  # noqa: PERF401
        return RuleFindings(code, findings, next(found, None) is None)
    except Exception:
        log.exception("The rule %s failed.", code)
        return RuleFindings(code, findings, False)


def _of_failures(recording: Recording, syntax: Syntax) -> Iterator[RuleFindings]:
    """Explain each exception of autograd by the rule that matches its message. Yield the findings of each of these rules."""
    found: dict[str, list[model.Finding]] = {rule.CODE: [] for rule in _FAILURE_RULES}
    failed: set[str] = set()
    reported: set[tuple[str, int | None]] = set()
    exceptions = _different(autograd_exceptions(recording))
    for rule, exception in exceptions[:EXCEPTIONS]:
        try:
            finding = rule.explain(Failure(recording, syntax, exception))
            if finding is not None and (finding.code, finding.line) not in reported and len(found[finding.code]) < MOST:
                reported.add((finding.code, finding.line))
                found[finding.code].append(structs.replace(finding, origin=finding.origin or _origin(finding, recording)))
        except Exception:
            log.exception("The rule %s failed.", rule.CODE)
            failed.add(rule.CODE)
    failed |= {rule.CODE for rule, _ in exceptions[EXCEPTIONS:]}
    for code, findings in found.items():
        yield RuleFindings(code, findings, code not in failed)


def _different(exceptions: list[AutogradException]) -> list[tuple[FailureRule, AutogradException]]:
    """Return exceptions that differ in their text or lines, each with the rule that explains it.

    The exception that ended the program comes first, so that a note about the same failure is left out.
    """
    found: dict[tuple[object, ...], tuple[FailureRule, AutogradException]] = {}
    for exception in reversed(exceptions):
        message = exception.message[:MESSAGE_LIMIT]
        key = (exception.type, message, exception.line, exception.raised, exception.changed, exception.node is None)
        if key in found:
            continue
        rule = next((rule for rule in _FAILURE_RULES if re.search(rule.MESSAGES, message)), None)
        if rule is None and exception.pass_ is not None:
            rule = backward_failed
        if rule is not None:
            found[key] = rule, exception
    return list(found.values())


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
