"""Write the mistakes of a check in the formats that other tools read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec

from .. import __version__
from ..explain.registry import RULES
from .check_report import CheckSummary
from .mistakes import PROGRAM_FAILED, WRONG_GRADIENT, Mistake

Format = Literal["text", "json", "sarif", "github"]
FORMATS: Final[tuple[Format, ...]] = ("text", "json", "sarif", "github")
_OWN: Final = {
    WRONG_GRADIENT: "Report a gradient that differs from the slope of the loss.",
    PROGRAM_FAILED: "Report an exception that ends the program.",
}


def as_json(mistakes: Sequence[Mistake], checked: CheckSummary) -> str:
    """Return the mistakes and every checked graph. The output is also a baseline."""
    return msgspec.json.format(msgspec.json.encode({"mistakes": mistakes, "graphs": checked.graphs})).decode()


def as_github(mistakes: Iterable[Mistake]) -> str:
    """Return workflow commands, which GitHub shows at the lines of a pull request.

    The syntax is described in GitHub's documentation, "Workflow commands for GitHub Actions".

    >>> print(as_github([Mistake("fit.py", 3, "vanishing", "warning", "50 % less.", "Why.", "")]))
    ::warning file=fit.py,line=3,title=Tapedeck%3A vanishing::50 %25 less.%0AWhy.
    """
    lines = []
    for each in mistakes:
        properties = {"file": each.file, "line": each.line, "title": f"Tapedeck: {each.code}"}
        written = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items() if value is not None)
        text = f"{each.message}\n{each.why}"
        lines.append(f"::{each.severity} {written}::{_data(text)}")
    return "\n".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def as_sarif(mistakes: Sequence[Mistake]) -> str:
    """Return a log in the Static Analysis Results Interchange Format, version 2.1.0 (OASIS)."""
    codes = sorted({each.code for each in mistakes})
    log = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "Tapedeck",
                        "semanticVersion": __version__,
                        "rules": [{"id": code, "shortDescription": {"text": _summary(code)}} for code in codes],
                    }
                },
                "results": [_result(each, codes.index(each.code)) for each in mistakes],
                "columnKind": "unicodeCodePoints",
            }
        ],
    }
    return msgspec.json.format(msgspec.json.encode(log)).decode()


def _result(mistake: Mistake, rule: int) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": _uri(mistake.file)}}
    if mistake.line is not None:
        location["region"] = {"startLine": mistake.line}
    return {
        "ruleId": mistake.code,
        "ruleIndex": rule,
        "level": mistake.severity,
        "message": {"text": f"{mistake.message} {mistake.why}"},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"line/v1": mistake.source},
    }


def _uri(file: str) -> str:
    """Return the reference to a file as RFC 3986 defines it, with a scheme if the path is absolute.

    >>> _uri("my fit.py"), _uri("/src/a#1.py")
    ('my%20fit.py', 'file:///src/a%231.py')
    """
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _summary(code: str) -> str:
    return _OWN.get(code) or RULES[code].documentation.summary
