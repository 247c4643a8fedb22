"""Collect the mistakes that ``tapedeck check`` found in one file, without those that the user accepts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from rich.text import Text

from .. import model
from ..errors import BadRequest
from ..explain.registry import RULES
from .check_report import CheckSummary, worst_element

WRONG_GRADIENT: Final = "wrong-gradient"
PROGRAM_FAILED: Final = "program-failed"
REPORTED: Final[tuple[model.Severity, ...]] = ("error", "warning")
"""The severities that a check reports as mistakes. Notes and good signs do not make it fail."""
STYLES: Final[dict[model.Severity, str]] = {"error": "bold red", "warning": "yellow"}
LARGEST_BASELINE: Final = 16 << 20
"""Largest size of a baseline in bytes."""
_IGNORE: Final = re.compile(r"#\s*tapedeck:\s*ignore(?:\[([^\]]*)\])?\s*(?:#|$)")


class Mistake(Struct, frozen=True):
    """A finding, a wrong gradient, or the failure of the program.

    ``line`` is 1-based. It is ``None`` if the mistake belongs to no line, or to a notebook, whose readers see no line numbers.
    ``source`` is the text of the line, without its indentation. With ``file`` and ``code``, it identifies the mistake even
    after other lines were inserted above it.
    """

    file: str
    line: int | None
    code: str
    severity: model.Severity
    message: str
    why: str
    source: str
    help: str = ""

    @property
    def identity(self) -> tuple[str, str, str]:
        """The key by which a mistake is recognized in another recording."""
        return self.file, self.code, self.source


class Baseline(Struct, frozen=True):
    """A file with accepted mistakes: the output of ``tapedeck check --format json``."""

    mistakes: list[Mistake] = []


def collect(run: model.Run, checked: CheckSummary, name: str, *, notebook: bool) -> list[Mistake]:
    """Return the mistakes of a run, in the order of their lines. ``name`` is the file as the user named it."""
    lines = model.program_lines(run.program)

    def mistake(code: str, line: int | None, message: str, why: str, **rest: str) -> Mistake:
        source = lines[line - 1].strip() if line is not None and line <= len(lines) else ""
        severity: model.Severity = "warning" if rest.pop("severity", "error") == "warning" else "error"
        return Mistake(name, None if notebook else line, code, severity, message, why, source, rest.get("help", ""))

    found = [
        mistake(each.code, each.line, each.message, each.why, severity=each.severity, help=each.help)
        for each in run.findings
        if each.severity in REPORTED
    ]
    found += [mistake(WRONG_GRADIENT, line, message, why) for line, message, why in _wrong(checked)]
    error = run.error
    if error is not None and not any(each.severity == "error" for each in run.findings):
        found.append(mistake(PROGRAM_FAILED, error.line, f"{error.type}: {error.message}", "The program ended here."))
    return sorted(found, key=lambda each: (each.line or 0, each.code))


def _wrong(checked: CheckSummary) -> Iterator[tuple[int | None, str, str]]:
    """Yield the line, the message and the explanation of each leaf with a wrong gradient."""
    for graph in checked.graphs:
        for leaf in graph.leaves:
            worst = worst_element(leaf)
            if leaf.verdict == "wrong" and worst is not None:
                at = f"[{', '.join(map(str, worst.element))}]" if leaf.shape else ""
                message = (
                    f"The gradient of `{leaf.name or leaf.id}{at}` is {worst.recorded}, but the slope is {worst.computed}."
                )
                functions = (
                    f" This pass uses a `backward()` of the program: {', '.join(graph.functions)}." if graph.functions else ""
                )
                yield graph.line, message, f"The slope of the loss was computed by finite differences.{functions}"


def without_accepted(
    mistakes: Sequence[Mistake], text: str, codes: Sequence[str], baseline: Sequence[Mistake]
) -> list[Mistake]:
    """Return the mistakes that the user does not accept.

    A mistake is accepted if its code is among ``codes``, if it is in the baseline, or if its line in the program ``text`` has a
    comment ``# tapedeck: ignore`` or ``# tapedeck: ignore[code]``.
    """
    lines = model.program_lines(text)
    known = {each.identity for each in baseline}
    return [
        each
        for each in mistakes
        if each.code not in codes
        and each.identity not in known
        and not (each.line is not None and each.line <= len(lines) and _ignores(lines[each.line - 1], each.code))
    ]


def check_codes(codes: Sequence[str]) -> None:
    """Raise :class:`BadRequest` for a code that no mistake has."""
    known = [*RULES, WRONG_GRADIENT, PROGRAM_FAILED]
    for code in codes:
        if code not in known:
            alike = difflib.get_close_matches(code, known, 1)
            hint = f" Did you mean {alike[0]!r}?" if alike else " The page /findings of a server lists every code."
            raise BadRequest(f"No finding has the code {code!r}.{hint}")


def _ignores(line: str, code: str) -> bool:
    """Return whether a line has a comment that accepts a code.

    >>> _ignores("loss.backward()  # tapedeck: ignore[diverging, vanishing]", "vanishing")
    True
    """
    found = _IGNORE.search(line)
    return found is not None and (found[1] is None or code in {each.strip() for each in found[1].split(",")})


def report(mistakes: Sequence[Mistake]) -> Iterator[Text]:
    """Yield the lines of the report about mistakes, except those that other parts of the report show."""
    for each in mistakes:
        if each.code not in (WRONG_GRADIENT, PROGRAM_FAILED):
            place = f"{each.file}:{each.line}" if each.line is not None else each.file
            yield Text.assemble(
                (f"{place}: ", "bold"), (f"{each.severity} ", STYLES[each.severity]), f"[{each.code}] {each.message}"
            )
            yield Text(f"  {each.why}", style="dim")


def read_baseline(path: Path) -> list[Mistake]:
    """Return the mistakes of a baseline. Raises :class:`BadRequest` if it cannot be read."""
    try:
        if path.stat().st_size > LARGEST_BASELINE:
            raise BadRequest(f"{path} is larger than a baseline can be.")
        return msgspec.json.decode(path.read_bytes(), type=Baseline).mistakes
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}.") from error
    except msgspec.DecodeError as error:
        raise BadRequest(f"{path} is not a baseline. Write one with: tapedeck check --format json FILE > {path}") from error
