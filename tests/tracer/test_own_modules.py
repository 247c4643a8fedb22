"""Nodes, leaves, passes, updates and errors of the user's own modules have the file and line of the module."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tapedeck import model, wire
from tapedeck.cli import report
from tapedeck.errors import ProtocolError
from tapedeck.explain.findings import find
from tapedeck.recording import Recording

from .run_twice import record

NET = """\
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        y = self.linear(x)
        return y * self.scale


def log_of(x):
    return torch.sqrt(x) * 0.0


def step(leaves, rate):
    with torch.no_grad():
        for leaf in leaves:
            leaf -= rate * leaf.grad


def train(net, x):
    net(x).sum().backward()
    step(net.parameters(), 0.1)


def leaf():
    return torch.ones(2, requires_grad=True)


def broken(x):
    raise ValueError("broken")
"""

RunScript = Callable[..., tuple[list[wire.AnyEvent], Recording]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunScript:
    """Return a function that records a script next to ``net.py`` and ``parts/more.py`` as ``tapedeck run`` does."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "more.py").write_text("def double(x):\n    return x * 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def run(text: str, **options: object) -> tuple[list[wire.AnyEvent], Recording]:
        try:
            return record(text, **{"path": str(tmp_path / "script.py"), "confined": False, **options})
        finally:
            for name in set(sys.modules) - before:
                if name.partition(".")[0] in ("net", "parts"):
                    del sys.modules[name]

    return run


def origins(recording: Recording, index: int = 0) -> dict[str, model.FileLine | None]:
    return {node.name or node.op: node.origin for node in recording.graph(index).nodes}


def failure_of(events: list[wire.AnyEvent]) -> wire.ProgramFailure:
    end = events[-1]
    assert isinstance(end, wire.EndEvent)
    assert end.failure is not None
    return end.failure


SCRIPT = """\
import torch
from net import Net
net = Net()
x = torch.ones(3, 2)
loss = net(x).sum()
loss.backward()
"""


def test_a_node_and_a_leaf_of_a_module_of_the_users_own_have_its_file_and_line(run: RunScript) -> None:
    _, recording = run(SCRIPT)
    found = origins(recording)
    assert found["AddmmBackward0"] == model.FileLine("net.py", 11)
    assert found["MulBackward0"] == model.FileLine("net.py", 12)
    assert found["loss"] is None  # the script's own line
    assert found["net.linear.weight"] == found["net.linear.bias"] == model.FileLine("net.py", 7)
    assert found["net.scale"] == model.FileLine("net.py", 8)
    lines = {node.name or node.op: node.line for node in recording.graph(0).nodes}
    assert lines["MulBackward0"] == 5, "the line of the program is still the one that called the module"
    assert {parameter.names[0]: parameter.origin for parameter in recording.parameters()}["net.scale"] == found["net.scale"]


def test_passes_and_updates_in_a_module_have_its_lines(run: RunScript) -> None:
    _, recording = run("import torch, net\nmodel = net.Net()\nfor _ in range(2):\n    net.train(model, torch.ones(3, 2))\n")
    assert [recording.pass_(index).origin for index in range(2)] == [model.FileLine("net.py", 26)] * 2
    assert [step.update_origins for step in map(recording.step, range(2))] == [[model.FileLine("net.py", 22)]] * 2
    assert recording.pass_(0).line == 4


def test_a_module_in_a_package_is_named_by_its_path_from_the_folder_of_the_script(run: RunScript) -> None:
    _, recording = run(
        "import torch\nfrom parts.more import double\nw = torch.ones(2, requires_grad=True)\ndouble(w).sum().backward()"
    )
    assert origins(recording)["MulBackward0"] == model.FileLine("parts/more.py", 2)


def test_a_leaf_that_a_function_of_a_module_makes_has_its_line(run: RunScript) -> None:
    _, recording = run("import net\nw = net.leaf()\n(w * w).sum().backward()")
    assert origins(recording)["w"] == model.FileLine("net.py", 31)


def test_a_finding_about_a_node_has_the_line_of_the_module(run: RunScript) -> None:
    text = "import torch, net\nw = torch.zeros(2, requires_grad=True)\nloss = net.log_of(w).sum()\nloss.backward()\n"
    _, recording = run(text)
    found = {finding.code: finding for finding in find(recording, model.Program(text, ((1, 4),)))}
    assert found["nan-origin"].origin == model.FileLine("net.py", 16)
    assert found["nan-origin"].line == 3


def test_the_text_report_names_the_line_of_the_module() -> None:
    origin = model.FileLine("models/net.py", 16)
    finding = model.Finding("nan-origin", "error", None, 3, 0, "n1", "It is NaN.", "", origin=origin)
    assert next(report.described(finding, "")).plain == "error  line 3 (models/net.py:16)  It is NaN."
    error = model.ProgramError("ValueError", "broken", None, 1, "", origin=origin)
    run = model.Run("1", "failed", "program", "f()", 0, "full", "", None, None, None, error=error)
    assert [line.plain for line in report.failure(run)][1:] == ["      in models/net.py:16", "   1  f()"]


def test_an_error_has_the_line_of_the_module_that_raised_it(run: RunScript) -> None:
    events, _ = run("import net\nnet.broken(1)\n")
    failure = failure_of(events)
    assert (failure.line, failure.origin) == (2, wire.OriginRow(0, 35))
    events, _ = run("import net\nraise ValueError\n")
    assert failure_of(events).origin is None


def test_library_code_has_no_origin_even_inside_the_folder_of_the_script(run: RunScript, tmp_path: Path) -> None:
    packages = tmp_path / ".venv" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "library_of_test.py").write_text("def double(x):\n    return x * 2\n")
    text = (
        f"import sys, torch\nsys.path.append({str(packages)!r})\nfrom library_of_test import double\n"
        "w = torch.ones(2, requires_grad=True)\ndouble(w).sum().backward()\n"
    )
    events, recording = run(text)
    sys.modules.pop("library_of_test", None)
    assert set(origins(recording).values()) == {None}
    assert not [event for event in events if isinstance(event, wire.ModuleFileEvent)]


def test_a_folder_of_pythonpath_has_modules_of_the_users_own(
    run: RunScript, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "module_elsewhere.py").write_text("def double(x):\n    return x * 2\n")
    monkeypatch.syspath_prepend(elsewhere)
    monkeypatch.setenv("PYTHONPATH", str(elsewhere))
    text = "import torch, module_elsewhere as m\nw = torch.ones(2, requires_grad=True)\nm.double(w).sum().backward()\n"
    _, recording = run(text)
    sys.modules.pop("module_elsewhere", None)
    assert origins(recording)["MulBackward0"] == model.FileLine("module_elsewhere.py", 2)


def test_a_confined_program_names_no_file(run: RunScript) -> None:
    events, recording = run(SCRIPT, path=None, confined=True)
    assert not [event for event in events if isinstance(event, wire.ModuleFileEvent)]
    assert set(origins(recording).values()) == {None}


def test_graphs_from_two_lines_of_a_module_are_distinguished(run: RunScript) -> None:
    text = (
        "import torch\nfrom net import *\nw = torch.ones(2, requires_grad=True)\n"
        "for f in (lambda x: log_of(x), Net()):\n    f(w).sum().backward()\n"
    )
    _, recording = run(text)
    assert origins(recording, 0)["SqrtBackward0"] == model.FileLine("net.py", 16)
    assert origins(recording, 1)["MulBackward0"] == model.FileLine("net.py", 12)


# ------------------------------------------------------------------ the trust boundary

FILE = wire.ModuleFileEvent(0, "net.py")


def read(*events: wire.AnyEvent, confined: bool = False) -> list[wire.AnyEvent]:
    return list(wire.Reader(model.Limits(), confined=confined).feed(wire.frames(wire.pack(events))))


def parameter(origin: wire.OriginRow | None) -> wire.ParameterEvent:
    return wire.ParameterEvent(0, "w", [2], "float32", 1, origin)


def test_a_confined_process_may_not_name_a_file() -> None:
    assert read(FILE) == [FILE]
    with pytest.raises(ProtocolError, match="names a file"):
        read(FILE, confined=True)


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "a/../../b", "", "a//b", "a\nb", "a\x1b[31m"])
def test_a_file_that_is_not_below_the_folder_is_refused(path: str) -> None:
    with pytest.raises(ProtocolError):
        read(wire.ModuleFileEvent(0, path))


def test_files_are_named_in_order_and_at_most_a_thousand() -> None:
    with pytest.raises(ProtocolError):
        read(wire.ModuleFileEvent(1, "net.py"))
    with pytest.raises(ProtocolError):
        read(*(wire.ModuleFileEvent(index, f"{index}.py") for index in range(wire.MODULE_FILES + 1)))


def test_a_line_may_only_refer_to_a_file_that_was_named() -> None:
    assert len(read(FILE, parameter(wire.OriginRow(0, 3)))) == 2
    with pytest.raises(ProtocolError):
        read(FILE, parameter(wire.OriginRow(1, 3)))
    failure = wire.ProgramFailure("E", "", None, 1, "", None, wire.OriginRow(0, 3))
    with pytest.raises(ProtocolError):
        read(wire.EndEvent("failed", failure, 0.0))
    with pytest.raises(ProtocolError):
        read(wire.EndEvent("failed", wire.ProgramFailure("E", "", "/etc/passwd", 1, ""), 0.0))
