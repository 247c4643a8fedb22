"""A replay evaluates an expression after statements, and changes nothing of the program."""

from __future__ import annotations

import ast
import builtins
import math
from typing import Any

import numpy as np
import pytest
import torch
from tapedeck import wire
from tapedeck.replays.proof import Proof
from tapedeck.tracer.source.watch_points import WatchPoints

from ..run_twice import record, replay

TRAINING = """\
import torch
from torch import nn
torch.manual_seed(0)
x, y = torch.randn(8, 3), torch.randn(8, 1)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for step in range(5):
    noise = torch.rand(())
    loss = ((model(x) - y) ** 2).mean() * noise
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(loss.item())
"""


def watch(
    program: str, expression: str, line: int = 0, *, what: Any = "watch", step: int = 10**6
) -> list[tuple[int, int, Any]]:
    """Return the step, the line and the value of each evaluation. An error is a text with its type."""
    found = []
    for event in replay(program, what=what, step=step, line=line, expression=expression):
        if isinstance(event, wire.ExpressionValues):
            texts = iter(event.texts)
            steps, lines = np.frombuffer(event.steps, "<i4").tolist(), np.frombuffer(event.lines, "<i4").tolist()
            for step, line, kind, number in zip(steps, lines, event.kinds, np.frombuffer(event.numbers, "<f8"), strict=True):
                value: Any = next(texts) if kind >= wire.IS_TEXT else bool(number) if kind == wire.IS_TRUTH else float(number)
                found.append((step, line, value))
    return found


def printed(program: str, line: int, text: str) -> list[str]:
    """Return what the program prints, alone, with a statement inserted after a line."""
    lines = program.splitlines()
    lines.insert(line, f"    out.append({text})")
    names: dict[str, Any] = {"out": [], "__builtins__": __builtins__, "print": lambda *_: None}
    exec(compile("\n".join(lines), "alone", "exec"), names)
    return list(names["out"])


@pytest.mark.parametrize(
    ("line", "expressions"),
    [
        (9, ("loss.item()",)),  # the name is bound already
        (11, ("model.weight.grad.norm().item()", "model.bias.grad is None")),
        (12, ("model.weight.norm().item()", "optimizer.state[model.weight].get('momentum_buffer').abs().max().item()")),
        (7, ("step * 2",)),  # the head of a loop: at the start of each turn
    ],
)
def test_a_watch_gives_what_a_print_after_the_line_would_have_given(line: int, expressions: tuple[str, ...]) -> None:
    expression = f"repr([{', '.join(expressions)}])"
    values = watch(TRAINING, expression, line)
    assert [value for _, _, value in values] == printed(TRAINING, line, expression)
    assert [(step, each) for step, each, _ in values] == [(step, line) for step in range(5)]


def test_a_watch_changes_no_event_of_the_program() -> None:
    """An expression with random numbers, a pass of its own and calls of the program's functions leaves no trace."""
    program = "def half(t):\n    u = t * 0.5\n    return u\n" + TRAINING
    one = "torch.ones(2)"
    expression = f"half(torch.rand(3)), torch.autograd.functional.vjp(half, {one}, {one}), __import__('random').random()"
    events, recording = record(program)
    proof = Proof(recording, 4)
    kept = (wire.StepEvent, wire.PassEvent, wire.GraphEvent, wire.ParameterEvent)
    order = {"what": "watch", "step": 4, "line": 12}
    watched, constant = (replay(program, **order, expression=each) for each in (expression, "0"))
    proof.feed(watched)
    assert (proof.complete, proof.difference) == (True, None)
    packed = [wire.pack([event for event in each if isinstance(event, kept)]) for each in (watched, constant)]
    assert packed[0] == packed[1]
    text = ["".join(event.text for event in each if isinstance(event, wire.OutputEvent)) for each in (events, watched)]
    assert text[0] == text[1]
    assert len(watch(program, expression, 12)) == 5


START = """\
import torch
x = torch.linspace(-1, 1, 40).reshape(20, 2)
model, other = torch.nn.Linear(2, 40), torch.nn.Linear(40, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
second = torch.optim.Adam(other.parameters(), lr=0.01)
"""
LOOPS = {
    "accumulation": """\
for step in range(4):
    optimizer.zero_grad()
    for part in x.chunk(2):
        loss = (other(model(part)) - 1).pow(2).mean()
        loss.backward()
    optimizer.step()
""",
    "closure": """\
optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
def closure():
    optimizer.zero_grad()
    loss = (other(model(x)) - 1).pow(2).mean()
    loss.backward()
    return loss
for step in range(4):
    loss = optimizer.step(closure)
""",
    "two optimizers": """\
for step in range(4):
    loss = (other(model(x).detach()) - 1).pow(2).mean()
    second.zero_grad()
    loss.backward()
    second.step()
    loss = -other(model(x)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
""",
}
WEIGHTS = "[each.tolist() for each in (*model.parameters(), *other.parameters())]"


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS.keys())
def test_a_watch_summarizes_its_steps_which_are_those_of_the_recording(loop: str) -> None:
    program = START + loop
    _, recording = record(program)
    steps = recording.log.counts()[2]
    events = replay(program, what="watch", step=steps - 1, line=1, expression="0")
    proof = Proof(recording, steps - 1)
    proof.feed(events)
    assert (proof.complete, proof.difference, proof.whole) == (True, None, None)
    assert all(event.summary for event in events if isinstance(event, wire.StepEvent | wire.PassEvent))
    passes = [step for step in range(steps) for _ in recording.log.step(step).passes]
    lines = program.splitlines()
    for line in (at for at, text in enumerate(lines, 1) if text.strip() == "loss.backward()"):
        values = watch(program, f"str({WEIGHTS})[:{wire.NAME_LENGTH}]", line)
        assert {step for step, _, _ in values} <= set(passes)
        indent = lines[line - 1].partition("loss")[0]
        inserted = "\n".join((*lines[:line], f"{indent}out.append(str({WEIGHTS})[:{wire.NAME_LENGTH}])", *lines[line:]))
        names: dict[str, Any] = {"out": []}
        torch.manual_seed(0)
        exec(compile(inserted, "alone", "exec"), names)
        assert [value for _, _, value in values] == names["out"]
    backward = next(at for at, text in enumerate(lines, 1) if text.strip() == "loss.backward()")
    if lines.count(lines[backward - 1]) == 1:  # one pass for each evaluation
        assert [step for step, _, _ in watch(program, "0", backward)] == passes


@pytest.mark.parametrize(
    "change", ["x[3, 1] += 1e-5 * runs", "x = x[: 20 - runs]", "optimizer.param_groups[0]['lr'] += 0.1 * runs"]
)
def test_a_watch_of_a_program_that_differs_in_its_second_run_is_refused(change: str) -> None:
    builtins._runs_by_test = []  # type: ignore[attr-defined]
    count = "import builtins; builtins._runs_by_test.append(1); runs = len(builtins._runs_by_test) - 1\n"
    program = count + START + change + "\n" + LOOPS["accumulation"]
    _, recording = record(program)
    proof = Proof(recording, 3)
    proof.feed(replay(program, what="watch", step=3, line=9, expression="loss.item()"))
    assert not proof.complete
    assert proof.difference is not None


def test_a_watch_without_a_line_lists_the_changes_and_the_lines_that_made_them() -> None:
    program = """\
import torch
w = torch.tensor([1., 2.], requires_grad=True)
v = w.detach()
for step in range(2):
    (w ** 2).sum().backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
v.mul_(2)
"""
    writes = watch(program, "w")
    assert [(step, line) for step, line, _ in writes] == [(0, 2), (0, 7), (1, 7), (1, 9)]  # line 9 writes through a view
    assert [line for _, line, _ in watch(program, "w.grad")] == [2, 5, 8, 5, 8]
    assert watch(program, "w.grad")[-1][2] == "None"
    assert watch(program, "later") == []


KINDS: dict[str, Any] = {
    "1 > 0": True,
    "2 ** 60": str(2**60),
    "torch.tensor(1.5)": 1.5,
    "torch.tensor(float('inf'))": math.inf,
    "torch.tensor([True])": True,
    "torch.ones(2)": "tensor([1., 1.])",
    "'\\ud800'": "?",
    "[1, 2]": "[1, 2]",
    "None": "None",
    "print": "builtin_function_or_method",
    "missing": "NameError: name 'missing' is not defined",
    "1 / 0": "ZeroDivisionError: division by zero",
    "'x' * 1000": "x" * wire.NAME_LENGTH,
}


def test_each_kind_of_value() -> None:
    program = f"import torch\nfor i in range({len(KINDS)}):\n    i\nw = torch.ones(1, requires_grad=True)\nw.sum().backward()\n"
    values = watch(program, f"[{', '.join(f'lambda: {expression}' for expression in KINDS)}][i]()", 3)
    assert [value for _, _, value in values] == list(KINDS.values())


def test_a_search_stops_at_the_end_of_the_step_in_which_the_condition_holds() -> None:
    events = replay(TRAINING, what="seek", step=4, expression="step == 2 and loss > 0", line=9)
    assert [event.index for event in events if isinstance(event, wire.StepEvent)] == [0, 1, 2]
    assert watch(TRAINING, "step == 2 and loss.item()", 9, what="seek")[0][:2] == (2, 9)
    (everywhere,) = watch(TRAINING, "loss.item() < 1e9", what="seek")
    assert everywhere == (0, 9, True)
    assert watch(TRAINING, "loss.item() > 1e9", what="seek") == []


def test_an_expression_that_is_not_python_is_reported_at_once() -> None:
    events = replay(TRAINING, what="watch", step=4, line=9, expression="loss =")
    first = next(event for event in events if not isinstance(event, wire.StartedEvent))
    assert isinstance(first, wire.ExpressionUnreadable)
    assert first.reason == "The expression is not valid Python: invalid syntax."


def test_values_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "WATCHED", 50)
    program = "import torch\nw = torch.ones(1, requires_grad=True)\nfor i in range(80):\n    i\nw.sum().backward()\n"
    events = [
        event for event in replay(program, what="watch", line=4, expression="i") if isinstance(event, wire.ExpressionValues)
    ]
    assert sum(len(event.kinds) for event in events) == wire.WATCHED
    assert sum(event.omitted for event in events) == 30


@pytest.mark.parametrize(
    ("line", "points"),
    [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (9, 0), (10, 1), (12, 1), (13, 1), (14, 1), (15, 2)],
)
def test_each_statement_has_its_point(line: int, points: int) -> None:
    text = '''"""A docstring."""
from __future__ import annotations
import math
def f(a,
      b=2):
    if a:
        return b
    try:

        a += 1
    finally:
        del b
    else_ = """two
lines"""
class C: x = 1
'''
    tree = ast.parse(text)
    before = len(list(ast.walk(tree)))
    WatchPoints(line).insert(tree)
    compile(tree, "text", "exec")
    added = sum(isinstance(node, ast.Name) and node.id == "__tapedeck_watch__" for node in ast.walk(tree))
    assert (added, len(list(ast.walk(tree))) > before) == (points, points > 0)


def test_a_watchpoint_reads_every_kind_of_tensor() -> None:
    program = """\
import torch
conjugate = torch.ones(2, dtype=torch.cfloat).conj()
for t in torch.ones(2, dtype=torch.bfloat16), conjugate, torch.tensor(True), torch.eye(2).to_sparse():
    t.add_(t)
w = torch.ones(2, requires_grad=True)
w.sum().backward()
"""
    assert [line for _, line, _ in watch(program, "t")] == [3, 4, 3, 4, 3, 4, 3, 4]
