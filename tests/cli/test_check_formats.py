"""A check reports findings as mistakes, except those that the user accepts, in formats for other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tapedeck.cli import commands
from tapedeck.cli.mistakes import Mistake, read_baseline, without_accepted
from tapedeck.errors import BadRequest
from tapedeck.explain.registry import RULES
from typer.testing import CliRunner

from .test_commands import CUSTOM, tapedeck

pytestmark = pytest.mark.usefixtures("preloaded_tracer")

PROGRAM = """\
import torch
print("started")
w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for step in range(3):
    loss = (w ** 2).sum()
    loss.backward()
    optimizer.zero_grad(){comment}
    optimizer.step()
"""
CORRECT = """\
import torch
w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    loss = (w ** 2).sum()
    loss.backward()
    optimizer.step()
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program with one mistake, in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = Path("fit.py")
    path.write_text(PROGRAM.format(comment=""))
    return path


def read_json(text: str) -> Any:
    return json.loads(text)


def test_a_warning_fails_the_check_and_is_reported_with_its_line(file: Path) -> None:
    checked = tapedeck("check", str(file))
    assert checked.exit_code == 1
    assert "fit.py:8: warning [gradient-unused] Line 8 clears the gradients before line 9 uses them" in checked.output


def test_json_has_every_problem_and_nothing_else_is_printed(file: Path) -> None:
    checked = tapedeck("check", str(file), "--format", "json")
    found = read_json(checked.stdout)
    (mistake,) = found["mistakes"]
    assert checked.exit_code == 1
    assert {key: mistake[key] for key in ("file", "line", "code", "severity", "source", "help")} == {
        "file": "fit.py",
        "line": 8,
        "code": "gradient-unused",
        "severity": "warning",
        "source": "optimizer.zero_grad()",
        "help": "/findings#gradient-unused",
    }
    assert [leaf["verdict"] for graph in found["graphs"] for leaf in graph["leaves"]] == ["right"]


def test_sarif_names_the_rule_the_file_and_the_line(file: Path) -> None:
    (run,) = read_json(tapedeck("check", str(file), "--format", "sarif").stdout)["runs"]
    (result,) = run["results"]
    (location,) = result["locations"]
    assert location["physicalLocation"] == {"artifactLocation": {"uri": "fit.py"}, "region": {"startLine": 8}}
    assert (result["ruleId"], result["level"]) == ("gradient-unused", "warning")
    rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
    assert rule == {"id": "gradient-unused", "shortDescription": {"text": RULES["gradient-unused"].documentation.summary}}


@pytest.mark.parametrize(("name", "uri"), [("my fit#1.py", "my%20fit%231.py"), ("ü.py", "%C3%BC.py"), ("a/b.py", "a/b.py")])
def test_sarif_refers_to_a_file_by_a_valid_reference(file: Path, name: str, uri: str) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    file.rename(name)
    for given, expected in ((name, uri), (str(Path(name).absolute()), f"{Path.cwd().as_uri()}/{uri}")):
        (result,) = read_json(tapedeck("check", given, "--format", "sarif").stdout)["runs"][0]["results"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": expected}


def test_github_gets_one_annotation_for_each_problem(file: Path) -> None:
    checked = tapedeck("check", str(file), "--format", "github")
    (line,) = checked.stdout.splitlines()
    assert line.startswith("::warning file=fit.py,line=8,title=Tapedeck%3A gradient-unused::Line 8 clears the gradients")
    assert "%0A" in line


def mistake(line: int = 2, code: str = "gradient-unused", source: str = "optimizer.zero_grad()") -> Mistake:
    return Mistake("fit.py", line, code, "warning", "", "", source)


@pytest.mark.parametrize(
    "comment",
    ["# tapedeck: ignore[gradient-unused]", "# tapedeck: ignore", "#tapedeck:ignore[diverging, gradient-unused]  # why"],
)
def test_a_comment_on_the_line_of_a_problem_accepts_it(comment: str) -> None:
    assert without_accepted([mistake()], f"x = 1\noptimizer.zero_grad()  {comment}\n", [], []) == []


@pytest.mark.parametrize("comment", ["# tapedeck: ignore[diverging]", "# ignore", "# tapedeck: ignored", "# tapedeck: ignore["])
def test_another_comment_accepts_nothing(comment: str) -> None:
    found = [mistake(), mistake(line=9)]
    assert without_accepted(found, f"# tapedeck: ignore\noptimizer.zero_grad()  {comment}\n", [], []) == found


def test_a_code_can_be_accepted_for_the_whole_file(file: Path) -> None:
    checked = tapedeck("check", str(file), "--ignore", "gradient-unused")
    assert checked.exit_code == 0, checked.output
    with pytest.raises(BadRequest, match=r"No finding has the code 'gradients-unused'\. Did you mean 'gradient-unused'\?"):
        invoke("--ignore", "gradients-unused")


def invoke(*options: str) -> None:
    CliRunner().invoke(commands.app, ["check", "fit.py", *options], catch_exceptions=False)


def test_an_earlier_output_is_a_baseline_even_after_lines_were_inserted(file: Path) -> None:
    Path("accepted.json").write_text(tapedeck("check", str(file), "--format", "json").stdout)
    file.write_text("\n\n" + PROGRAM.format(comment=""))
    assert tapedeck("check", str(file), "--baseline", "accepted.json").exit_code == 0
    accepted = read_baseline(Path("accepted.json"))
    others = [mistake(source="optimizer.zero_grad(False)"), mistake(code="diverging")]
    assert without_accepted([mistake(line=7), *others], "", [], accepted) == others


@pytest.mark.parametrize(
    ("text", "message"), [("[]", "is not a baseline"), ("{", "is not a baseline"), (None, "cannot be read")]
)
def test_a_file_that_cannot_be_read_as_a_baseline_is_an_error(file: Path, text: str | None, message: str) -> None:
    if text is not None:
        Path("accepted.json").write_text(text)
    with pytest.raises(BadRequest, match=message):
        invoke("--baseline", "accepted.json")


def test_a_format_that_does_not_exist_is_an_error(file: Path) -> None:
    with pytest.raises(BadRequest, match="--format must be one of text, json, sarif, github"):
        invoke("--format", "xml")


def test_a_wrong_gradient_and_a_failed_program_are_problems_too(file: Path) -> None:
    file.write_text(CUSTOM.replace("return 2 * x * grad", "return x * grad"))
    (wrong,) = read_json(tapedeck("check", str(file), "--format", "json").stdout)["mistakes"]
    assert (wrong["code"], wrong["severity"]) == ("wrong-gradient", "error")
    assert wrong["message"].startswith("The gradient of `w[")
    file.write_text(CORRECT + "1 / 0\n")
    (failed,) = read_json(tapedeck("check", str(file), "--format", "json").stdout)["mistakes"]
    assert (failed["code"], failed["line"], failed["source"]) == ("program-failed", 9, "1 / 0")


def test_problems_of_a_notebook_have_no_line(file: Path) -> None:
    notebook = file.with_suffix(".ipynb")
    cell = {"cell_type": "code", "source": PROGRAM.format(comment="")}
    notebook.write_text(json.dumps({"nbformat": 4, "cells": [cell]}))
    (mistake,) = read_json(tapedeck("check", str(notebook), "--format", "json").stdout)["mistakes"]
    assert (mistake["line"], mistake["source"]) == (None, "optimizer.zero_grad()")
