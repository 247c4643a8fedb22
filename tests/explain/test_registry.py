"""Every rule is registered and documented, and its documented example is correct."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from tapedeck import explain, model, wire
from tapedeck.explain.documentation import SECTIONS
from tapedeck.explain.findings import find
from tapedeck.explain.registry import GROUPS, RULES
from tapedeck.inputs import notebook
from tapedeck.tracer.tensors import table
from tapedeck.web.pages.gallery import all_examples

from ..tracer.run_twice import record

FOLDER = Path(explain.__file__).parent
MODULES = {path.stem.replace("_", "-"): path for path in (FOLDER / "rules").glob("[a-z]*.py")}
NOT_TRIGGERED_ON_PURPOSE = frozenset({"recorder-failed"})
"""Codes without an example: internal errors."""
DOCUMENTED = [code for code in RULES if code not in NOT_TRIGGERED_ON_PURPOSE]
SMALLER = {"graph-too-large": ("300_000", "2_000"), "numbers-left-out": ("30_000", "300")}
"""Numbers of iterations in an example, and smaller ones that trigger the finding under the limits of a test."""


def found(text: str, **options: Any) -> tuple[dict[str, model.Severity], bool]:
    """Run a program as a cell of a notebook. Return the codes found with their severities, and whether the program failed."""
    program = notebook.convert({"nbformat": 4, "cells": [{"cell_type": "code", "source": text}]})
    events, recording = record(program.text, **options)
    assert isinstance(events[-1], wire.EndEvent)
    return {finding.code: finding.severity for finding in find(recording, program)}, events[-1].failure is not None


def test_each_module_of_a_rule_is_registered_under_its_name() -> None:
    assert set(MODULES) == set(RULES)
    assert [rule.code for rules in GROUPS.values() for rule in rules] == list(RULES)
    for code, rule in RULES.items():
        module = rule.recording or rule.failure
        assert module is not None
        assert (rule.recording is None) != (rule.failure is None)
        assert Path(str(module.__file__)) == MODULES[code]  # type: ignore[union-attr]


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_each_finding_is_made_with_the_code_of_its_module(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("model.Finding", "note", "failure.finding"):
            code = next((keyword.value for keyword in node.keywords if keyword.arg == "code"), None) or node.args[0]
            assert ast.unparse(code) == ("CODE" if path.parent.name == "rules" else "code"), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("code", RULES)
def test_each_rule_is_documented_in_every_section(code: str) -> None:
    documentation = RULES[code].documentation
    assert documentation.summary.startswith("Report ")
    assert "\n" not in documentation.summary
    assert tuple(section.title for section in documentation.sections) == SECTIONS
    assert all(section.blocks for section in documentation.sections)
    assert len(documentation.programs) == (2 if code in DOCUMENTED else 0)


@pytest.mark.parametrize("code", RULES)
def test_links_in_the_documentation_lead_to_rules(code: str) -> None:
    links = [link for section in RULES[code].documentation.sections for block in section.blocks for link in block.links]
    assert set(links) <= {f"#{other}" for other in RULES if other != code}


@pytest.mark.parametrize("code", DOCUMENTED)
@pytest.mark.filterwarnings("ignore")
def test_the_example_triggers_its_finding_and_the_corrected_program_does_not(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake, corrected = RULES[code].documentation.programs
    options: dict[str, Any] = {}
    if code in SMALLER:
        mistake = mistake.replace(*SMALLER[code])
        options = {"nodes": 1_000}
        monkeypatch.setattr(table, "TABLE_BYTES", 100_000)
    codes, failed = found(mistake, **options)
    assert codes.get(code) in RULES[code].severities
    for example in all_examples():
        assert example.finding != code or failed == example.fails or example.group == "Pitfalls"
    codes, _ = found(corrected, **options)
    assert code not in codes
    if RULES[code].severities != ("good",) and code not in ("skipped-magic", "implicit-pass-failed"):
        assert not {"error", "warning"} & set(codes.values())
