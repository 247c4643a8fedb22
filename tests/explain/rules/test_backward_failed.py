"""Failures of autograd are explained at the lines that caused them, and the fixes run clean."""

from __future__ import annotations

import pytest
from tapedeck import model, wire
from tapedeck.explain.findings import find
from tapedeck.explain.rewriting.fixes import apply
from tapedeck.recording import MemoryLog, Recording

from ...tracer.failing_programs import CASES, Case, marked
from ...tracer.run_twice import record

pytestmark = pytest.mark.filterwarnings("ignore")
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

TWO_LINES = frozenset({"saved-modified", "backward-twice"})
"""Codes whose findings name two lines."""


def findings(text: str) -> list[model.Finding]:
    return found_in(record(text)[1], text)


def found_in(recording: Recording, text: str) -> list[model.Finding]:
    found = find(recording, model.Program(text))
    return [finding for finding in found if finding.code != "saved-tensors-unread"]  # reported in addition to the failure


def failure(text: str) -> wire.ProgramFailure | None:
    events, _ = record(text)
    end = events[-1]
    assert isinstance(end, wire.EndEvent)
    return end.failure


@cases
def test_an_error_that_ended_the_program_is_one_finding_with_its_line_and_node(case: Case) -> None:
    _, recording = record(case.program)
    (finding,) = found_in(recording, case.program)
    assert (finding.code, finding.severity) == (case.code, "error")
    named = [
        finding.line,
        *(int(word) for word in finding.message.replace(",", " ").replace(".", " ").split() if word.isdigit()),
    ]
    line = marked(case.program, "changed") or marked(case.program, "raised")
    assert finding.line == line or line is None
    if case.code in TWO_LINES:
        assert marked(case.program, "node") in named
        assert str(marked(case.program, "stops")) in f"{finding.message} {finding.why}"
    assert (finding.node is None) == (case.op is None)
    if finding.node is not None:
        assert finding.pass_ is not None
        shown = recording.pass_(finding.pass_)
        assert shown.failed == finding.node
        node = recording.graph(int(shown.graph[1:])).nodes[int(finding.node[1:])]
        assert (node.op, node.line) == (case.op, marked(case.program, "node"))


@cases
def test_an_error_that_the_program_caught_is_a_note(case: Case) -> None:
    (finding,) = findings(case.caught)
    assert (finding.code, finding.severity) == (case.code, "note")
    assert finding.why.endswith("The program caught this error and continued.")


def test_the_saved_tensor_that_was_changed_is_named_as_in_the_inspector() -> None:
    for case in (case for case in CASES if case.name in ("an output changed in place", "a constant changed")):
        _, recording = record(case.program)
        (finding,) = found_in(recording, case.program)
        name = {"ExpBackward0": "result", "MulBackward0": "other"}[case.op or ""]
        computed = f"The gradient of the operation is computed from the saved tensor `{name}` as it was in the forward pass"
        assert finding.why.startswith(computed)
        assert finding.pass_ is not None
        assert finding.node is not None
        graph = recording.graph(int(recording.pass_(finding.pass_).graph[1:]))
        assert name in graph.nodes[int(finding.node[1:])].saved


FIXED = {
    "an output changed in place", "an output changed by +=", "a constant changed",
    "a tensor saved by a custom function changed", "the first of two nodes fails", "a detached root",
    "a root copied by torch.tensor", "not a scalar", "integers",
}  # fmt: skip
"""Cases that have a fix."""


@cases
def test_a_fix_runs_clean(case: Case) -> None:
    (finding,) = findings(case.program)
    assert (finding.fix is not None) == (case.name in FIXED)
    if finding.fix is None:
        return
    text = apply(case.program, finding.fix)
    assert failure(text) is None, text
    assert [left for left in findings(text) if left.severity in ("error", "warning")] == []


CUTS = {
    "loss.detach()": (
        "loss = (x * 2).sum()\nshown = loss.item()\nloss = loss.detach()  # cut\nloss.backward()",
        "loss = loss  #",
    ),
    "x.data": ("y = x.data * 2  # cut\nloss = y.sum()\nloss.backward()", "y = x * 2  #"),
    "x.argmax()": ("loss = (x.argmax() * 1.0).sum()  # cut\nloss.backward()", None),
    "x > 0": ("loss = ((x > 0).float() * 2).sum()  # cut\nloss.backward()", None),
    "torch.tensor([v.item() for v in x])": ("loss = torch.tensor([v.item() for v in x]).sum()  # cut\nloss.backward()", None),
    "torch.from_numpy": (
        "import numpy as np\ny = torch.from_numpy(np.exp(x.detach().numpy()))  # cut\ny.sum().backward()",
        None,
    ),
    "a.detach()": (
        "def model(a):\n    return a.detach() * 3  # cut\nt = torch.ones(3)\nloss = (model(x) - t).sum()\nloss.backward()",
        "a * 3",
    ),
    "a.round().long()": (
        "def model(a):\n    b = a.round().long()  # cut\n    return b * 3.0\nmodel(x).sum().backward()",
        None,
    ),
    "self.w(a).detach()": (
        """
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Linear(3, 1)
    def forward(self, a):
        return self.w(a).detach()  # cut
net = Net()
net(torch.ones(3)).sum().backward()
""",
        "return self.w(a)  #",
    ),
    "@torch.no_grad()": ("@torch.no_grad()  # cut\ndef loss(a):\n    return (a * 2).sum()\nloss(x).backward()", None),
    "torch.set_grad_enabled(False)": (
        """
torch.set_grad_enabled(False)  # cut
loss = (x * 2).sum()
try:
    loss.backward()
finally:
    torch.set_grad_enabled(True)
""",
        None,
    ),
    "(x * 2).sum().item()": ("loss = (x * 2).sum().item()  # cut\nloss.backward()", "loss = (x * 2).sum()  #"),
    "torch.autograd.grad((x ** 3).sum(), x)": (
        "g, = torch.autograd.grad((x ** 3).sum(), x)  # cut\ng.sum().backward()",
        None,
    ),
    "(x * 2).detach()": (
        """
target = torch.ones(3).detach()
pred = (x * 2).detach()  # cut
loss = ((target - pred) ** 2).mean()
loss.backward()
""",
        "pred = (x * 2)  #",
    ),
}


@pytest.mark.parametrize("cut", CUTS, ids=CUTS)
def test_the_nearest_cut_is_named(cut: str) -> None:
    body, expected = CUTS[cut]
    program = f"import torch\nx = torch.tensor([1., 2., 3.], requires_grad=True)\n{body}\n"
    (finding,) = findings(program)
    assert (finding.code, finding.line) == ("no-grad-path", marked(program, "cut"))
    assert f"`{cut}" in finding.message
    assert (finding.fix is not None) == (expected is not None)
    if finding.fix is not None and expected is not None:
        text = apply(program, finding.fix)
        assert expected in text
        assert failure(text) is None


@pytest.mark.parametrize(
    ("call", "how"),
    [("from_numpy", "makes a new tensor from the same memory"), ("tensor", "copies the numbers into a new tensor")],
)
def test_a_constructor_that_shares_memory_is_not_described_as_a_copy(call: str, how: str) -> None:
    text = f"import torch\nx = torch.ones(3, requires_grad=True)\ny = torch.{call}(x.detach().numpy())\ny.sum().backward()\n"
    (finding,) = findings(text)
    assert how in finding.why


def test_the_finding_states_that_nothing_in_the_program_requires_a_gradient() -> None:
    (finding,) = findings("import torch\nx = torch.ones(3)\n(x * 2).sum().backward()\n")
    assert "Nothing in this program requires a gradient" in finding.why


@pytest.mark.parametrize(("root", "count"), [("y", "3"), ("x * 2", "several")])
def test_a_root_with_several_elements_is_reported_with_their_number_if_known(root: str, count: str) -> None:
    (finding,) = findings(f"import torch\nx = torch.ones(3, requires_grad=True)\ny = x * 2\n({root}).backward()\n")
    assert finding.code == "not-scalar"
    assert finding.message.endswith(f" has {count}.")


def test_reading_grad_of_a_computed_tensor_is_reported_once_and_the_fix_retains_it() -> None:
    program = """\
import torch
x = torch.ones(3, requires_grad=True)
for i in range(3):
    y = x * 2
    y.sum().backward()
    print(y.grad)
"""
    (finding,) = findings(program)
    assert (finding.code, finding.severity, finding.line, finding.node) == ("non-leaf-grad", "warning", 6, "n1")
    assert finding.fix is not None
    text = apply(program, finding.fix)
    assert "    y = x * 2\n    y.retain_grad()\n" in text
    _, recording = record(text)
    assert recording.stdout() == "tensor([1., 1., 1.])\n" * 3
    assert find(recording, model.Program(text)) == []


@pytest.mark.parametrize(
    "line",
    ["y.retain_grad(); y.sum().backward(); y.grad", "y.sum().backward(); x.grad", "y.grad", "x.detach().grad"],
)
def test_a_retained_or_unreached_grad_is_no_finding(line: str) -> None:
    program = f"import torch\nx = torch.ones(3, requires_grad=True)\ny = x * 2\n{line}\n"
    assert [finding.code for finding in findings(program) if finding.code != "implicit-pass"] == []


def test_forged_signals_of_failures_make_no_findings_and_raise_nothing() -> None:
    """The tracer runs in the process of the program, so its signals can be forged."""
    end = wire.EndEvent("failed", wire.ProgramFailure("RuntimeError", "no", None, 3, ""), 1.0)
    forged = [
        wire.PassFailed(
            line=2**31 - 1,
            error="",
            message="",
            step=7,
            pass_=12345,
            graph=10**9,
            node=99,
            raised=-1,
            earlier=10**9,
            saved=None,
            changed=-7,
        ),
        wire.PassFailed(
            error="RuntimeError", message="no", step=0, pass_=0, graph=0, node=-1, raised=-1, earlier=-1, saved=None, changed=-1
        ),
        wire.Caught(error="", message="", handler=2**31 - 1),
        wire.NonLeafGrad(line=7, step=0, graph=10**9, name=None),
        end,
    ]
    program = "import torch\n"
    found = find(Recording(MemoryLog(forged), program), model.Program(program))
    assert {finding.code for finding in found} <= {"non-leaf-grad"}
