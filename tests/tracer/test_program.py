"""Tests of how programs end, what they print, what a cell shows, and what replaces missing modules."""

from __future__ import annotations

import os
import sys
import time
import types
import warnings

import pytest
import torch
from tapedeck import model, wire
from tapedeck.tracer import emitter
from tapedeck.tracer.environment.stdout import Printer

from .run_twice import record


def end(events: list[wire.AnyEvent]) -> wire.EndEvent:
    last = events[-1]
    assert isinstance(last, wire.EndEvent)
    return last


def signals(events: list[wire.AnyEvent]) -> dict[type[wire.Signal], wire.Signal]:
    return {type(event): event for event in events if isinstance(event, wire.Signal)}


def test_a_syntax_error_has_its_line_and_caret() -> None:
    events, _ = record("x = 1\ny = (2 +\nz = 3\n")
    failure = end(events).failure
    assert failure is not None
    assert (failure.type, failure.line, failure.columns) == ("SyntaxError", 2, (4, 5))
    assert "'(' was never closed" in failure.message


def test_a_failing_program_keeps_the_events_before_its_failure() -> None:
    events, recording = record(
        "import torch\nw = torch.ones(2, requires_grad=True)\nw.sum().backward()\nprint('so far')\n1 / 0\n"
    )
    failure = end(events).failure
    assert failure is not None
    assert (failure.type, failure.line, failure.columns) == ("ZeroDivisionError", 5, (0, 5))
    assert "app/tracer" not in failure.traceback
    assert recording.stdout() == "so far\n"
    assert recording.log.counts() == (1, 1, 1)


def test_an_error_inside_torch_has_the_programs_line() -> None:
    events, _ = record("import torch\n\ndef f(a):\n    return a @ torch.ones(3, 3)\n\nf(torch.ones(2, 2))\n")
    failure = end(events).failure
    assert failure is not None
    assert (failure.line, failure.columns) == (4, (11, 31))
    assert 'File "<program>", line 6' in failure.traceback


@pytest.mark.parametrize(("code", "status"), [("0", "done"), ("", "done"), ("3", "failed"), ("'no'", "failed")])
def test_sys_exit_ends_a_program_as_python_would(code: str, status: str) -> None:
    events, _ = record(f"import sys\nprint('a')\nsys.exit({code})\nprint('b')\n")
    assert end(events).status == status


def test_output_beyond_the_limit_is_cut_and_the_program_continues() -> None:
    program = (
        "import torch\nfor _ in range(200):\n    print('x' * 100_000)\ntorch.ones(1, requires_grad=True).sum().backward()\n"
    )
    events, recording = record(program, stdout_bytes=50_000)
    assert end(events).status == "done"
    assert recording.log.counts()[1] == 1
    assert recording.stdout() == "x" * 50_000
    assert sum(isinstance(event, wire.StdoutTruncated) for event in events) == 1


@pytest.mark.parametrize(
    ("errors", "printed"),
    [
        ("strict", "UnicodeEncodeError UnicodeEncodeError end\n"),
        ("surrogateescape", "\ufffd and é\nUnicodeEncodeError end\n"),
        ("backslashreplace", "\\udc80 and é\n\\ud800 and é\nend\n"),
    ],
)
def test_text_that_cannot_be_encoded_is_printed_as_unrecorded(
    monkeypatch: pytest.MonkeyPatch, errors: str, printed: str
) -> None:
    monkeypatch.setattr(sys, "__stdout__", types.SimpleNamespace(errors=errors))
    _, recording = record(
        "for text in '\\udc80', '\\ud800':\n    try:\n        print(f'{text} and é')\n"
        "    except UnicodeEncodeError as e:\n        print(type(e).__name__, end=' ')\nprint('end')\n"
    )
    assert recording.stdout() == printed


def test_a_cell_shows_its_last_expression_as_a_notebook_does() -> None:
    program = "import torch\nx = torch.ones(2)\nx\n\ny = x\n\n'text'; None\n"
    events, _ = record(program, cells=[(1, 3), (5, 5), (7, 7)], notebook=True)
    assert [event.output for event in events if isinstance(event, wire.CellEvent)] == ["tensor([1., 1.])", None, None]


def test_a_syntax_error_in_a_cell_does_not_affect_the_cells_before_it() -> None:
    events, recording = record("a = 1\n\nb = = 2\n\nc = 3\n", cells=[(1, 1), (3, 3), (5, 5)], notebook=True)
    failure = end(events).failure
    assert failure is not None
    assert failure.line == 3
    assert [line.text for line in recording.lines()] == ["1"]


def test_a_program_without_backward_gets_one_implicit_pass() -> None:
    events, recording = record("import torch\nx = torch.tensor([1., 2.], requires_grad=True)\ny = x * 3\nprint(x.grad)\n")
    assert wire.ImplicitPass in signals(events)
    taken = recording.pass_(0)
    assert taken.kind == "implicit"
    assert recording.step(0).parameters[0].contribution.values == [3.0, 3.0]  # type: ignore[union-attr]
    assert recording.stdout() == "None\n"


def test_a_program_without_tensors_is_recorded() -> None:
    events, recording = record("print(1 + 1)\n")
    assert end(events).status == "done"
    assert recording.log.counts() == (0, 0, 0)


def test_every_displayed_tensor_has_a_graph_whether_a_pass_reached_it_or_not() -> None:
    program = "import torch\nx = torch.ones(3, requires_grad=True)\ny = x * 5\ny\nz = (x + 2).sum()\nz.backward()\nz\n"
    _, recording = record(program)
    graphs = {line.line: line.graph for line in recording.lines()}
    assert graphs[7] == graphs[5] == "g0"
    assert graphs[4] == graphs[3] != "g0"
    graph = recording.graph(int(str(graphs[4])[1:]))
    assert [node.op for node in graph.nodes] == ["MulBackward0", "AccumulateGrad"]
    assert graph.nodes[1].name == "x"


def test_lines_show_values_as_they_were_when_the_line_ran() -> None:
    program = (
        "import torch\nx = torch.zeros(2)\nx\nx += 1\nlr = 0.5\na, b = 1, torch.ones(1)\nfor i in range(3):\n    pass\nprint\n"
    )
    _, recording = record(program)
    shown = {line.line: line.text for line in recording.lines()}
    assert shown == {
        2: "tensor([0., 0.])", 3: "tensor([0., 0.])", 4: "tensor([1., 1.])", 5: "0.5", 6: "int, tensor", 7: "i = 2",
    }  # fmt: skip


def test_plots_are_not_drawn_and_a_signal_reports_it() -> None:
    if "matplotlib" in sys.modules:
        pytest.skip("matplotlib is installed")
    program = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots(1, 2)\nax[0].plot([1, 2]); plt.show()\nplt.figure()\n"
    events, _ = record(program)
    assert end(events).status == "done", end(events)
    assert wire.PlottingStandIn in signals(events)
    assert "matplotlib" not in sys.modules


def test_a_missing_module_fails_with_a_list_of_available_modules() -> None:
    events, _ = record("import no_such_module_at_all\n")
    failure = end(events).failure
    assert failure is not None
    assert (
        failure.message == "No module named 'no_such_module_at_all': "
        "only torch, numpy and Python's standard library are available here"
    )


def test_a_graph_above_the_limit_runs_unrecorded_and_a_signal_reports_it() -> None:
    program = (
        "import torch\nx = torch.ones(1, requires_grad=True)\ny = x\nfor i in range(50):\n    y = y * 2\n"
        "y.backward()\nprint(x.grad)\n"
    )
    events, recording = record(program, nodes=20)
    assert wire.GraphTooLarge in signals(events)
    assert recording.stdout() == f"{torch.tensor([2.0**50])}\n"
    assert recording.log.counts()[1] == 0


def test_a_failure_of_the_recorder_is_reported_once_and_the_program_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from tapedeck.tracer.backward import graphs

    def broken(*_: object, **__: object) -> None:
        raise ValueError("broken on purpose")

    monkeypatch.setattr(graphs, "describe", broken)
    events, recording = record("import torch\nx = torch.ones(1, requires_grad=True)\n(x * 2).backward()\nprint(x.grad)\n")
    assert recording.stdout() == "tensor([2.])\n"
    (failed,) = [event for event in events if isinstance(event, wire.RecorderFailed)]
    assert "broken on purpose" in failed.message
    assert end(events).status == "done"


def test_the_recorder_restores_everything_that_it_replaced() -> None:
    engine, apply, compiled = torch.autograd._engine_run_backward, torch.autograd.Function.__dict__["apply"], torch.compile  # type: ignore[attr-defined]
    stdout, main = sys.stdout, sys.modules["__main__"]
    replaced = [
        (torch, "from_numpy"), (torch, "as_tensor"), (torch.autograd.forward_ad, "enter_dual_level"), (time, "sleep"),
        (os, "_exit"), (os, "kill"), (warnings, "_showwarnmsg"), (torch._C.ScriptFunction, "__call__"),
        (torch._C._autograd, "_push_saved_tensors_default_hooks"),
    ]  # fmt: skip
    before = [getattr(owner, name) for owner, name in replaced]
    record("import torch\nx = torch.ones(1, requires_grad=True)\n(x * 2).backward()\n1 / 0\n")
    assert torch.autograd._engine_run_backward == engine  # type: ignore[attr-defined]
    assert torch.autograd.Function.__dict__["apply"] is apply
    assert torch.compile is compiled
    assert [getattr(owner, name) for owner, name in replaced] == before
    assert (sys.stdout, sys.modules["__main__"]) == (stdout, main)
    assert torch._C._len_torch_function_stack() == 0


def test_the_same_program_is_recorded_the_same_way_twice() -> None:
    program = "import torch\nx = torch.randn(3, requires_grad=True)\ny = (x * 2).tanh()\ny.sum().backward()\ny\n"
    first, second = record(program)[0], record(program)[0]
    assert first[:-1] == second[:-1]


@pytest.mark.parametrize(
    "silence",
    [
        "time.sleep(0.001); import os; raise KeyboardInterrupt",
        "\nfor i in range(10**6):\n    pass\n    if time.time() - began > 0.2: raise KeyboardInterrupt",
    ],
)
def test_events_are_sent_before_a_program_sleeps_or_is_interrupted(silence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tapedeck.model import Limits
    from tapedeck.tracer import program as module

    sent: list[wire.AnyEvent] = []
    at_end: list[int] = []
    reader = wire.Reader(Limits())
    text = (
        "import time, torch\nw = torch.ones(1, requires_grad=True)\n(w * 2).backward()\n"
        "with torch.no_grad():\n    w -= w.grad\n"
        f"x = w * 3\nx.backward()\nprint('heard')\nbegan = time.time()\n{silence}\n"
    )
    original = module._failure
    monkeypatch.setattr(module, "_failure", lambda *args: (at_end.append(len(sent)), original(*args))[1])
    module.run(wire.Job(text, [(1, 20)]), lambda data: sent.extend(reader.feed(data)))
    assert any(isinstance(event, wire.OutputEvent) for event in sent[: at_end[0]])
    kinds = [type(event).__name__ for event in sent[: at_end[0]]]
    assert kinds.count("PassEvent") == 2
    assert "StepEvent" in kinds
    assert "LinesEvent" in kinds


def test_each_cell_has_what_it_printed() -> None:
    program = "print('one')\n\nx = 2\n\nprint('three')\nx\n"
    cells = [(1, 1), (3, 3), (5, 6)]
    _, recording = record(program, cells=cells, notebook=True)
    cells_found = recording.cells(model.Program(program, "notebook", cells))
    assert [(cell.stdout, cell.output) for cell in cells_found] == [("one\n", None), ("", None), ("three\n", "2")]


def test_an_exception_whose_str_fails_has_its_line() -> None:
    events, _ = record("class Mute(Exception):\n    def __str__(self):\n        raise ValueError('no')\nraise Mute\n")
    failure = end(events).failure
    assert failure is not None
    assert (failure.type, failure.line, failure.message) == ("Mute", 4, "<exception str() failed: Mute>")


def test_a_failure_of_the_recorder_after_a_call_does_not_fail_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr("tapedeck.tracer.forward.calls.Calls.add", fail)
    events, recording = record("import torch\nw = torch.ones(2, requires_grad=True)\n(w * 2).sum().backward()\nprint(w.grad)\n")
    assert end(events).status == "done"
    assert recording.stdout() == "tensor([2., 2.])\n"
    assert wire.RecorderFailed in signals(events)


NESTED = "import torch\nn = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]{}, requires_grad=True)\n"
SHAPELESS = {
    "nested": NESTED.format("") + "torch.nested.to_padded_tensor(n * 2, 0.0).sum().backward()\n",
    "jagged": NESTED.format(", layout=torch.jagged") + "(n * 2).values().sum().backward()\n",
    "vmap": "import torch\nf = lambda x: (x ** 2).sum()\nprint(torch.func.vmap(torch.func.grad(f))(torch.arange(3.0)))\n",
}


@pytest.mark.parametrize("kind", SHAPELESS)
def test_nested_tensors_and_tensors_of_transforms_are_recorded(kind: str) -> None:
    events, recording = record("import warnings\nwarnings.simplefilter('ignore')\n" + SHAPELESS[kind])
    assert end(events).status == "done"
    assert wire.RecorderFailed not in signals(events)
    assert recording.log.counts()[0] >= 1


def test_sys_argv_has_only_the_programs_name() -> None:
    events, recording = record(
        "import argparse, sys\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=0.5)\n"
        "print(p.parse_args().lr, sys.argv)\n"
    )
    assert end(events).status == "done"
    assert recording.stdout() == "0.5 ['program.py']\n"


def test_a_program_has_a_file_name_and_a_notebook_has_none() -> None:
    program = "import os\nprint(os.path.basename(globals().get('__file__', 'none')))\n"
    assert record(program)[1].stdout() == "program.py\n"
    assert record(program, notebook=True)[1].stdout() == "none\n"


def test_an_exit_status_is_explained_in_a_sentence() -> None:
    events, _ = record("import sys\nsys.exit(3)\n")
    failure = end(events).failure
    assert failure is not None
    assert failure.message == "The program ended itself with exit status 3."


def test_stdout_and_stderr_are_recorded_apart_and_in_order() -> None:
    program = (
        "import sys\nprint('a')\nprint('b')\nprint('c', file=sys.stderr)\nsys.stderr.buffer.write('é'.encode())\n"
        "print('d')\nsys.stderr.write('\\udc80')\nprint('e')\n"
    )
    _, recording = record(program)
    assert (recording.stdout(), recording.stderr()) == ("a\nb\nd\ne\n", "c\né\\udc80")
    assert [(each.stream, each.text) for each in recording.output()] == [
        ("stdout", "a\nb\n"), ("stderr", "c\né"), ("stdout", "d\n"), ("stderr", "\\udc80"), ("stdout", "e\n"),
    ]  # fmt: skip


def test_the_limit_holds_for_both_streams_together() -> None:
    program = "import sys\nfor i in range(10):\n    print('x' * 9)\n    print('y' * 9, file=sys.stderr)\n"
    events, recording = record(program, stdout_bytes=55)
    assert (recording.stdout(), recording.stderr()) == (
        "x" * 9 + "\n" + "x" * 9 + "\n" + "x" * 9 + "\n",
        ("y" * 9 + "\n") * 2 + "y" * 5,
    )
    assert any(isinstance(event, wire.StdoutTruncated) for event in events)


def test_a_program_that_alternates_between_the_streams_sends_few_events() -> None:
    program = "import sys\nfor i in range(30_000):\n    sys.stdout.write('o')\n    sys.stderr.write('e')\n"
    events, recording = record(program)
    assert (recording.stdout(), recording.stderr()) == ("o" * 30_000, "e" * 30_000)
    assert sum(isinstance(event, wire.OutputEvent) for event in events) < 12_000
    assert len(recording.output()) <= 10_002
    assert [each.text for each in recording.output()[:3]] == ["o", "e", "o"]


def test_bytes_can_be_written_to_the_buffer_of_stdout() -> None:
    program = (
        "import sys\nprint('a')\nletter = 'é\\n'.encode()\nsys.stdout.buffer.write(letter[:1])\n"
        "sys.stdout.buffer.write(letter[1:])\nprint('b')\n"
    )
    assert record(program)[1].stdout() == "a\né\nb\n"


def test_a_semicolon_at_the_end_of_a_cell_shows_nothing() -> None:
    events, recording = record("x = 1\nx;\n\nx  ;  # quiet\n\nx\n", cells=[(1, 2), (4, 4), (6, 6)], notebook=True)
    assert [event.output for event in events if isinstance(event, wire.CellEvent)] == [None, None, "1"]
    assert {line.line for line in recording.lines()} == {1, 6}


def test_a_cell_shows_an_object_by_its_own_repr() -> None:
    events, _ = record("class A:\n    def __repr__(self):\n        name = 'an A'\n        return name\nA()\n")
    assert [event.output for event in events if isinstance(event, wire.CellEvent)] == ["an A"]


def test_the_stand_in_of_subplots_returns_axes_in_the_requested_shape() -> None:
    if "matplotlib" in sys.modules:
        pytest.skip("matplotlib is installed")
    program = """\
import matplotlib.pyplot as plt
fig, ax = plt.subplots(2, 2)
ax[0, 1].plot([1]); ax.flat[3].set_title('x')
one = plt.subplots()[1].plot([1])
row, column = plt.subplots(1, 3)[1], plt.subplots(nrows=2)[1]
print(ax.shape, row.shape, column.shape, plt.subplots(1, 1, squeeze=False)[1].shape)
for axis in ax.ravel():
    axis.grid(True)
"""
    events, recording = record(program)
    assert end(events).status == "done", end(events)
    assert recording.stdout() == "(2, 2) (3,) (2,) (1, 1)\n"


def test_results_of_plots_that_are_not_drawn_can_be_unpacked_and_computed_with() -> None:
    if "matplotlib" in sys.modules:
        pytest.skip("matplotlib is installed")
    program = """\
import matplotlib.pyplot as plt
ax = plt.gca()
line, = ax.plot([1, 2])
(first, second), third = plt.plot([1], [2], [3])
counts, bins, patches = plt.hist([1, 2])
head, *middle, last = ax.lines
low, high = ax.get_ylim()
ax.set_ylim(0.9 * low, -(high + 1) / 2)
if high > 5:
    ax.set_yscale("log")
for spine in ax.spines.values():
    spine.set_visible(False)
print(len(ax.lines), float(high), range(3)[low], f"{high:.2f}", middle, list(ax.lines), sum([low, high]))
"""
    events, recording = record(program)
    assert end(events).status == "done", end(events)
    assert recording.stdout() == "0 0.0 0 <not drawn> [] [] <not drawn>\n"


WARNING = """\
import torch, warnings
x = torch.ones(2, requires_grad=True)
y = x * 2
for i in range(2):
    y.grad
y.grad
optimizer = torch.optim.SGD([x], lr=0.1)
warnings.filterwarnings("ignore", message="mine", module="__main__")
warnings.warn("mine")
torch.nn.functional.softmax(x)
"""


def test_a_warning_of_torch_names_the_programs_line() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        record(WARNING)
    assert [(warning.filename, warning.lineno) for warning in shown] == [("<program>", line) for line in (5, 6, 10)]


@pytest.mark.filterwarnings("error")
def test_a_warning_that_is_an_error_is_raised_at_the_programs_line() -> None:
    failure = end(record(WARNING)[0]).failure
    assert failure is not None
    assert (failure.type, failure.line) == ("UserWarning", 5)


@pytest.mark.parametrize("ending", ["os._exit(3)", "os.abort()", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_events_are_sent_before_a_program_ends_its_process(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> None:
        raise KeyboardInterrupt  # the process of the test must go on

    for name in ("_exit", "abort", "kill"):
        monkeypatch.setattr(os, name, ended)
    sent: list[wire.AnyEvent] = []
    at_end: list[int] = []
    monkeypatch.setattr("tapedeck.tracer.program._failure", lambda *args: at_end.append(len(sent)))
    reader = wire.Reader(model.Limits())
    text = f"import os, signal, torch\nw = torch.ones(1, requires_grad=True)\n(w * 2).backward()\nprint('heard')\n{ending}\n"
    from tapedeck.tracer import program as module

    module.run(wire.Job(text, [(1, 5)]), lambda data: sent.extend(reader.feed(data)))
    kinds = {type(event) for event in sent[: at_end[0]]}
    assert kinds >= {wire.OutputEvent, wire.PassEvent, wire.StepEvent, wire.LinesEvent}


def test_a_view_whose_grad_fn_torch_refuses_to_return_does_not_fail_the_program() -> None:
    program = (
        "import torch\nw = torch.ones(2, 2, requires_grad=True)\nm = w * 1\nwith torch.no_grad():\n    v = m.view(4)\n"
        "m.mul_(2)\nv\nprint(v.shape)\nu = v\nm.sum().backward()\nprint(w.grad)\ntry:\n    v.grad_fn\nexcept RuntimeError:\n"
        "    print('refused')\n"
    )
    events, recording = record(program)
    assert end(events).status == "done", end(events).failure
    assert recording.stdout() == "torch.Size([4])\ntensor([[2., 2.],\n        [2., 2.]])\nrefused\n"
    assert wire.RecorderFailed not in signals(events)


def test_tensors_that_cannot_be_read_do_not_fail_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    from tapedeck.tracer import emitter

    def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(emitter, "pack", broken)
    events, recording = record("import torch\nx = torch.ones(1, requires_grad=True)\n(x * 2).backward()\nprint(x.grad)\n")
    assert end(events).status == "done"
    assert recording.stdout() == "tensor([2.])\n"
    assert wire.RecorderFailed in signals(events)
    assert [node.op for node in recording.graph(0).nodes] == ["MulBackward0", "AccumulateGrad"]


def test_the_select_event_loop_runs_coroutines() -> None:
    import asyncio

    from tapedeck.tracer.environment.event_loop import SelectEventLoop

    async def work() -> list[int]:
        async def late(value: int) -> int:
            await asyncio.sleep(0.001 * value)
            return value

        return await asyncio.gather(*(late(value) for value in (3, 1, 2)))

    with asyncio.Runner(loop_factory=SelectEventLoop) as runner:
        assert runner.run(work()) == [3, 1, 2]


def test_an_exception_that_the_program_raises_gets_no_advice() -> None:
    for error in ("ValueError('no')", "FileNotFoundError('mine')", "PermissionError('mine')", "RuntimeError('mine')"):
        failure = end(record(f"raise {error}\n")[0]).failure
        assert failure is not None
        assert failure.message in ("no", "mine")


def test_events_that_are_sent_inside_a_transform_have_their_numbers() -> None:
    program = (
        "import time, torch\nw = torch.tensor([1.0, 2.0], requires_grad=True)\n(w * w).sum().backward()\n"
        "def f(v):\n    time.sleep(0.001)\n    return (v * v).sum()\ntorch.func.grad(f)(torch.ones(2))\n"
    )
    _, recording = record(program)
    (row,) = recording.step(0).parameters
    assert row.grad_after is not None
    assert row.grad_after.values == [2.0, 4.0]
    assert row.grad_after.norm == pytest.approx(20**0.5)


def test_a_backward_from_a_view_without_a_node_fails_as_in_an_unrecorded_run() -> None:
    program = (
        "import torch\nw = torch.ones(3, 2, requires_grad=True)\nv = w.flip(0)\nwith torch.no_grad():\n    u = v.expand(3, 2)\n"
        "try:\n    torch.autograd.grad(u, [w], torch.ones_like(u))\nexcept RuntimeError as error:\n    print(error)\n"
    )
    events, recording = record(program)
    assert "does not require grad" in recording.stdout() or "not have been used" in recording.stdout()
    assert wire.RecorderFailed not in signals(events)


def test_a_view_whose_node_a_backward_recreates_has_the_line_of_that_backward() -> None:
    program = (
        "import torch\nw = torch.ones(2, 3, requires_grad=True)\nb = w * 2\nv = b.view(3, 2)\nb.view(-1)[0].add_(1.0)\n"
        "torch.autograd.grad(v, [w], torch.ones_like(v))\n"
    )
    events, recording = record(program)
    assert wire.RecorderFailed not in signals(events)
    assert all(node.line is not None for node in recording.graph(0).nodes if node.kind == "op")
    assert recording.graph(0).nodes[0].line == 6


def test_a_flush_of_the_program_sends_what_is_recorded_before_the_text_appears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emitter, "INTERVAL", 1e9)
    messages: list[bytes] = []
    sender = emitter.Emitter(messages.append)
    printer = Printer(sender, 1000, 1000)
    sender.emit(wire.RecorderFailed(message="waiting"))
    printer.stdout.write("ready")
    assert not messages
    printer.stdout.flush()
    assert b"waiting" in messages[0]
    assert b"ready" in messages[0]
