"""A recorded value keeps the state at the time of recording, whatever the program changes later."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tapedeck import model, wire
from tapedeck.recording import Recording
from tapedeck.tracer import emitter

from .run_twice import record, recorded, unrecorded

PRINTS = {
    "memory that is freed, as sharded training does": """\
import torch
for size in (3, 500, 5000):
    w = torch.ones(size, requires_grad=True)
    y = w * 2
    z = y[1:] * 3
    kept = w.detach()
    for tensor in (w, y, z):
        tensor.data.untyped_storage().resize_(0)
    z.backward(torch.ones(size - 1))
    print(w.grad.sum())
    w.data.untyped_storage().resize_(4 * size)
    w.data.fill_(2)
    (w * 5).sum().backward()
    print(w.grad.sum(), kept.sum())
""",
    "a leaf that gets another size": """\
import torch
w = torch.tensor([3., 4.], requires_grad=True)
def train():
    loss = (w ** 2).sum()
    loss.backward()
    print(w.grad)
    w.grad = None
train()
w.data = torch.ones(3)
train()
(w * 2).sum().backward()
w.data = torch.ones(4)
w.grad = None
(w * 3).sum().backward()
print(w.grad)
kept = (w * 5).sum()
kept.backward()
w.data = torch.ones(5)
w.grad = None
try:
    (w * 3).sum().backward()
except RuntimeError as error:
    print(error)
""",
    "a traceback that the program looks at": """\
import sys
import traceback
import torch
def show(error):
    for entry in traceback.extract_tb(error.__traceback__):
        print(entry.name if entry.filename in ("<alone>", "<program>") else entry.filename, entry.lineno)
class Layer(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.linear(x, torch.ones(2, 3))
def train(w):
    loss = (w ** 2).sum()
    loss.backward()
    loss.backward()
w = torch.ones(2, requires_grad=True)
for function in (train, Layer(), torch.optim.LBFGS([w]).step, lambda w: w.backward(), lambda w: torch.einsum("ij", w)):
    try:
        function(w)
    except (RuntimeError, TypeError) as error:
        show(error)
        try:
            raise ValueError("again") from error
        except ValueError as second:
            show(second)
            show(second.__cause__)
""",
    "an optimizer's step that fails, and then a mode": """\
import torch
class Double(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        return out * 2 if func is torch.exp else out
class Bad(torch.optim.SGD):
    def step(self, closure=None):
        raise ValueError
w = torch.ones(2, requires_grad=True)
try:
    Bad([w], lr=0.1).step()
except ValueError:
    pass
with Double():
    n = 1
    a = torch.exp(w)
b = torch.exp(w)
print(a, b)
b.sum().backward()
print(w.grad)
""",
    "a mode around a closure": """\
import torch
class Log(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        print(getattr(func, "__name__", func))
        return func(*args, **(kwargs or {}))
class Own(torch.optim.SGD):
    def step(self, closure=None):
        with Log():
            loss = closure()
        super().step()
        return loss
w = torch.ones(2, requires_grad=True)
optimizer = Own([w], lr=0.1)
def closure():
    optimizer.zero_grad()
    loss = (w ** 2).sum()
    loss.backward()
    return loss
optimizer.step(closure)
print(w)
""",
    "a mode that a closure leaves on": """\
import torch
class Log(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        print(getattr(func, "__name__", func))
        return func(*args, **(kwargs or {}))
log = Log()
w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
def closure():
    log.__enter__()
    loss = (w ** 2).sum()
    loss.backward()
    return loss
optimizer.step(closure)
torch.exp(w)
log.__exit__(None, None, None)
torch.exp(w)
""",
    "a module that lists its parameters itself": """\
import torch
class Net(torch.nn.Linear):
    def named_parameters(self, *args, **kwargs):
        print("asked")
        return super().named_parameters(*args, **kwargs)
net = Net(2, 1)
net(torch.ones(1, 2)).sum().backward()
net.zero_grad()
print(net.weight.grad)
""",
    "a trace": """\
import torch
from torch import nn
net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.GELU(), nn.Linear(4, 1))
traced = torch.jit.trace(net, torch.randn(5, 3))
print(traced(torch.ones(2, 3)).shape)
""",
}


@pytest.mark.parametrize("program", PRINTS.values(), ids=PRINTS)
@pytest.mark.filterwarnings("ignore")
def test_a_program_runs_as_in_an_unrecorded_run(program: str) -> None:
    expected = unrecorded(program)
    got, events, _ = recorded(program)
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    assert (got.stdout, got.error) == (expected.stdout, expected.error)


def test_a_mode_that_a_cell_leaves_on_stays_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emitter, "INTERVAL", 0)  # so that tensors are read while the program's mode is on
    cells = [
        (
            "import torch\n"
            "class Log(torch.overrides.TorchFunctionMode):\n"
            "    def __torch_function__(self, func, types, args=(), kwargs=None):\n"
            "        print(func.__name__)\n        return func(*args, **(kwargs or {}))\nlog = Log()\nlog.__enter__()"
        ),
        "a = torch.ones(2)",
        "log.__exit__(None, None, None)\nb = torch.zeros(2)",
    ]
    lines, spans = "", []
    for cell in cells:
        start = lines.count("\n") + 1
        lines += cell + "\n"
        spans.append((start, lines.count("\n")))
    events, _ = record(lines, cells=spans)
    assert "".join(event.text for event in events if isinstance(event, wire.OutputEvent)) == "ones\n"


def only(recording: Recording, step: int = 0) -> list[model.ParameterStep]:
    return recording.step(step).parameters


def test_a_returned_gradient_is_recorded_as_it_was_before_the_program_changes_it() -> None:
    program = """\
import torch
a = torch.ones(30, 20, requires_grad=True)
b = torch.ones(30, 20, requires_grad=True)
ga, gb = torch.autograd.grad((torch.cat([a, b], 1) ** 2).sum(), [a, b])
true = ga.norm().item()
ga.mul_(100)
c = torch.ones(40, 50, requires_grad=True)
seed = torch.ones(40, 50).t().contiguous().t()
c.backward(seed)
seed.mul_(7)
"""
    got, _, recording = recorded(program)
    rows = only(recording)
    assert rows[0].contribution is not None
    assert rows[0].contribution.norm == pytest.approx(got.variables["true"])
    (seeded,) = only(recording, 1)
    for recorded_value in (seeded.contribution, seeded.grad_after):
        assert recorded_value is not None
        assert recorded_value.mean == 1


TOUCHED = {
    "a custom backward": """\
import torch
w = torch.ones(3, requires_grad=True)
class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2
    @staticmethod
    def backward(ctx, grad):
        w.grad = torch.ones(3)
        return grad * 2
Own.apply(w).sum().backward()
""",
    "a hook that halves the gradient of another leaf": """\
import torch
a = torch.ones(3, requires_grad=True)
w = torch.ones(3, requires_grad=True)
def halve(leaf):
    if w.grad is not None:
        w.grad.data.mul_(0.5)
a.register_post_accumulate_grad_hook(halve)
w.register_post_accumulate_grad_hook(lambda leaf: None)
b = a * 2
((w * 3).sum() + b.sum()).backward()
""",
    "a hook with a bucket": """\
import torch
a = torch.ones(3, requires_grad=True)
w = torch.ones(3, requires_grad=True)
def reduce(leaf):
    if a.grad is not None and w.grad is not None:
        flat = torch.cat([a.grad, w.grad])
        flat.mul_(0.5)
        a.grad, w.grad = flat[:3], flat[3:]
a.register_post_accumulate_grad_hook(reduce)
w.register_post_accumulate_grad_hook(reduce)
((w * 3).sum() + (a * 2).sum()).backward()
""",
}


@pytest.mark.parametrize("program", TOUCHED.values(), ids=TOUCHED)
def test_a_gradient_that_changes_while_the_pass_runs_is_read_after_the_pass(program: str) -> None:
    got, _, recording = recorded(program)
    (row,) = [row for row in only(recording) if row.name == "w"]
    assert row.grad_after is not None
    assert row.grad_after.values == got.variables["w"].grad.tolist()


def test_the_gradients_of_an_inner_pass_are_recorded_as_they_were_when_it_ended() -> None:
    program = """\
import torch
x = torch.ones(3, requires_grad=True)
v = torch.full((3,), 2.0, requires_grad=True)
y = x * 3
def hook(grad):
    with torch.enable_grad():
        gg, = torch.autograd.grad((v * v).sum(), v)
    gg.mul_(10)
y.register_hook(hook)
y.sum().backward()
"""
    numbers = record(program)[1].numbers(1)
    (leaf,) = [index for index, node in enumerate(numbers.graph.nodes) if node.kind == "leaf"]
    used = numbers.used(leaf, 0)
    assert used is not None
    assert used.values == [4.0, 4.0, 4.0]


def test_an_inner_pass_does_not_change_the_numbers_of_the_outer_pass() -> None:
    program = """\
import torch
from torch.utils.checkpoint import checkpoint
torch.manual_seed(0)
m = torch.nn.Linear(2, 2, bias=False)
x = torch.ones(1, 2, requires_grad=True)
loss = checkpoint(lambda x: m(x).tanh(), x, use_reentrant=True).sum() + m(x).sum()
loss.backward()
"""
    recording = record(program)[1]
    numbers = recording.numbers(0)
    graph = numbers.graph
    (index,) = [index for index, node in enumerate(graph.nodes) if node.name == "m.weight"]
    arriving = [numbers.edge(at) for at, edge in enumerate(graph.edges) if edge.target == graph.nodes[index].id]
    used = numbers.used(index, 0)
    assert used is not None
    total = sum(torch.tensor(recorded_value.values) for recorded_value in arriving if recorded_value is not None)
    assert isinstance(total, torch.Tensor)
    torch.testing.assert_close(torch.tensor(used.values), total)


def test_leaves_of_a_subclass_end_a_step_like_any_other() -> None:
    program = """\
import torch
class Mine(torch.nn.Parameter):
    pass
w = Mine(torch.ones(2))
optimizer = torch.optim.SGD([w], lr=0.0)
for step in range(3):
    (w ** 2).sum().backward()
    optimizer.zero_grad()
"""
    assert record(program)[1].log.counts()[2] == 3


def test_the_output_of_a_cell_shows_the_value_at_the_end_of_the_cell() -> None:
    text = "import torch\nx = torch.ones(2)\nx\nx.requires_grad_()\nx\nx.data.mul_(2)\nx\n"
    events, _ = record(text, cells=[(1, 3), (4, 5), (6, 7)])
    outputs = [event.output for event in events if isinstance(event, wire.CellEvent)]
    assert outputs == ["tensor([1., 1.])", "tensor([1., 1.], requires_grad=True)", "tensor([2., 2.], requires_grad=True)"]


def test_a_leaf_that_an_optimizer_changes_after_its_closure_is_read_again() -> None:
    program = """\
import torch
w = torch.tensor([1.0, 2.0], requires_grad=True)
seen = []
class Sharp(torch.optim.SGD):
    def step(self, closure):
        closure()
        for leaf in self.param_groups[0]["params"]:
            leaf.data.mul_(0.5)
optimizer = Sharp([w], lr=0.1)
def closure():
    optimizer.zero_grad()
    loss = (w ** 2).sum()
    loss.backward()
    return loss
for step in range(2):
    optimizer.step(closure)
"""
    recording = record(program)[1]
    values = [
        [recorded_value and recorded_value.values for recorded_value in (row.value, row.value_after)]
        for step in range(2)
        for row in only(recording, step)
    ]
    assert values == [[[1.0, 2.0], [0.5, 1.0]], [[0.5, 1.0], [0.25, 0.5]]]


def test_leaves_that_share_a_storage_are_updated_separately() -> None:
    program = """\
import torch
flat = torch.arange(4.0)
a, b = (torch.nn.Parameter(part) for part in flat.split(2))
for step in range(2):
    ((a + b) ** 2).sum().backward()
    flat.data.add_(1)
    a.grad = b.grad = None
(a * b).sum().backward()
b.data.mul_(2)
"""
    recording = record(program)[1]
    for step in range(2):
        assert [row.value.values for row in only(recording, step) if row.value] == [
            [0.0 + step, 1.0 + step],
            [2.0 + step, 3.0 + step],
        ]
        assert [row.update.values for row in only(recording, step) if row.update] == [[1.0, 1.0], [1.0, 1.0]]
    last = only(recording, 2)
    assert [row.grad_used is not None for row in last] == [False, True]


def test_a_write_to_memory_that_a_leaf_used_before_is_not_an_update() -> None:
    program = """\
import torch
w = torch.ones(1000, requires_grad=True)
for step in range(3):
    (w * w).sum().backward()
    w.data = w.data - 0.1 * w.grad
    w.grad = None
    t = torch.zeros(1000)
    t.add_(1)
"""
    recording = record(program)[1]
    assert [recording.step(step).lines["update"] for step in range(3)] == [[5, 6]] * 3


@pytest.mark.filterwarnings("ignore")
def test_saved_tensors_are_recorded_as_they_were_when_the_pass_began() -> None:
    program = """\
import torch
x = torch.tensor([1.0, 10.0, 100.0], requires_grad=True)
(x ** 3).sum().backward(create_graph=True)
(x.grad * x.grad).sum().backward()
e = torch.tensor([[1.0], [2.0]]).expand(2, 2).requires_grad_()
(e ** 2).sum().backward()
"""
    recording = record(program)[1]
    numbers = recording.numbers(1)
    (index,) = [
        index for index, node in enumerate(numbers.graph.nodes) if node.op == "MulBackward0" and node.backward_of is None
    ]
    saved = [numbers.saved(index, slot) for slot in range(2)]
    assert [recorded_value.values for recorded_value in saved if recorded_value is not None] == [[3.0, 300.0, 30000.0]] * 2
    numbers = recording.numbers(2)
    (index,) = [index for index, node in enumerate(numbers.graph.nodes) if node.op == "PowBackward0"]
    whole = numbers.saved(index, 0)
    assert whole is not None
    assert whole.values == [[1.0, 1.0], [2.0, 2.0]]


def test_a_view_whose_node_is_recreated_has_the_line_that_needs_the_node() -> None:
    program = """\
import torch
w = torch.randn((2, 3), dtype=torch.float64, requires_grad=True)
a = w ** 2
view = a.select(0, -1)
b = view.cumsum(-1)
with torch.no_grad():
    b *= 2.0
    for _ in range(2):
        view.copy_(b)
view.sum().backward()
"""
    (node,) = [node for node in record(program)[1].numbers(0).graph.nodes if node.op == "AsStridedBackward0"]
    assert node.line == 10


def test_the_node_of_an_old_view_is_made_by_the_program_although_it_has_made_many_views_since() -> None:
    program = """\
import time, torch
w = torch.randn((2, 3), requires_grad=True)
a = w ** 2
view = a.select(0, -1)
for _ in range(10_100):
    a[0]
a.mul_(2.0)
kept = view
time.sleep(0.001)  # all values are sent first
view.sum().backward()
"""
    (node,) = [node for node in record(program)[1].numbers(0).graph.nodes if node.op == "AsStridedBackward0"]
    assert node.line == 10


def test_a_view_that_is_written_to_under_no_grad_has_the_line_of_the_backward() -> None:
    program = """\
import torch
w = torch.ones((), requires_grad=True)
v = w.view(())
with torch.no_grad():
    v += w
v.sum().backward()
"""
    (node,) = [node for node in record(program)[1].numbers(0).graph.nodes if node.op == "AsStridedBackward0"]
    assert node.line == 6


def test_modules_that_exist_one_after_the_other_have_their_own_names() -> None:
    program = """\
import torch
from torch import nn
def first():
    encoder = nn.Linear(2, 2)
    return encoder(torch.ones(1, 2)).sum()
def second():
    decoder = nn.Linear(2, 2)
    return decoder(torch.ones(1, 2)).sum()
first().backward()
second().backward()
"""
    recording = record(program)[1]
    modules = [{node.module for node in recording.numbers(index).graph.nodes if node.module} for index in range(2)]
    assert modules == [{"encoder"}, {"decoder"}]


def test_a_gradient_that_becomes_a_leaf_is_recorded_without_requires_grad() -> None:
    program = """\
import torch
x = torch.ones(2, requires_grad=True)
(g,) = torch.autograd.grad((x ** 2).sum(), x)
g.requires_grad_()
"""
    (row,) = only(record(program)[1])
    assert row.contribution is not None
    assert not row.contribution.requires_grad


@pytest.mark.parametrize("write", ["torch.ops.aten.mul_.Scalar(y, 10)", "torch.ops.aten.mul_(y, 10)"])
def test_an_in_place_operator_is_detected_by_its_schema(write: str) -> None:
    program = f"import torch\nw = torch.ones(2, requires_grad=True)\ny = torch.ones(2) * 2\n(w * y).sum().backward()\n{write}\n"
    recording = record(program)[1]
    numbers = recording.numbers(0)
    (constant,) = [index for index, node in enumerate(numbers.graph.nodes) if node.kind == "constant"]
    recorded_value: Any = numbers.value(constant)
    assert recorded_value.values == [2.0, 2.0]


def test_a_default_device_can_be_set_and_reset_around_the_step_of_an_optimizer() -> None:
    program = """\
import torch
w = torch.ones(2, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)
torch.set_default_device("cpu")
(w * 2).sum().backward()
optimizer.step()
torch.set_default_device("meta")
print(torch.ones(2).device)
torch.set_default_device(None)
(w * 2).sum().backward()
optimizer.step()
print(torch.ones(2).device, w)
"""
    expected = unrecorded(program)
    got, _, recording = recorded(program)
    assert (got.stdout, got.error) == (expected.stdout, None)
    assert recording.log.counts()[2] == 2


def test_a_pass_during_which_a_second_thread_trains_has_no_numbers() -> None:
    program = """\
import threading
import torch
gate, inside = threading.Barrier(2), threading.Event()
leaves = [torch.ones(2, requires_grad=True) for _ in range(2)]
def work(leaf):
    y = leaf * 2
    met = []
    def meet(grad):
        if not met:
            inside.set()
            met.append(gate.wait())
    y.register_hook(meet)
    (y * 3).sum().backward()
threads = [threading.Thread(target=work, args=(leaf,)) for leaf in leaves]
threads[0].start()
inside.wait()
threads[1].start()  # it computes with gradients too, which ends the recording
for thread in threads:
    thread.join()
"""
    got, events, recording = recorded(program)
    assert [leaf.grad.tolist() for leaf in got.variables["leaves"]] == [[6.0, 6.0], [6.0, 6.0]]
    assert len([event for event in events if isinstance(event, wire.SeveralThreads)]) == 1
    assert [recording.log.pass_(index).graph for index in range(recording.log.counts()[1])] == [-1]  # without numbers


def test_the_program_s_setting_of_the_garbage_collector_is_kept() -> None:
    program = """\
import gc, torch
w = torch.ones((), requires_grad=True)
y = w
for _ in range(10_500):
    y = y * 1.0
def hook(grad):
    print(gc.isenabled())
    gc.disable()
y.register_hook(hook)
y.backward()
print(gc.isenabled())
gc.enable()
"""
    assert recorded(program)[0].stdout == unrecorded(program).stdout == "True\nFalse\n"


def test_grad_used_has_the_change_that_numpy_made_before_the_update() -> None:
    program = """\
import torch
w = torch.ones(2, requires_grad=True)
(w ** 2).sum().backward()
g = w.grad.numpy()
g *= 10
w.data.sub_(w.grad)
"""
    (row,) = only(record(program)[1])
    assert row.grad_used is not None
    assert row.update is not None
    assert (row.grad_used.values, row.update.values) == ([20.0, 20.0], [-20.0, -20.0])


def test_a_local_variable_is_not_the_leaf_of_the_same_name_outside() -> None:
    program = """\
import torch
x = torch.ones(2, requires_grad=True)
def forward(x):
    x = torch.relu(x)
    return x
def other():
    x = torch.ones(2) * 3
    return x
for step in range(2):
    forward(x).sum().backward()
    other()
    forward(x).sum().backward()
    with torch.no_grad():
        x -= 0.1 * x.grad
"""
    recording = record(program)[1]
    assert [len(recording.step(step).passes) for step in range(2)] == [2, 2]
    assert not recording.step(0).rebinds


def test_a_value_is_recorded_as_it_was_before_a_trace_writes_to_it() -> None:
    program = """\
import torch
norm = torch.nn.BatchNorm1d(2)
mean = norm.running_mean
torch.jit.trace(norm, torch.ones(4, 2) * 3)
"""
    lines = {line.line: line for line in record(program)[1].lines()}
    recorded_value: Any = lines[3].tensor
    assert recorded_value.values == [0.0, 0.0]


def test_a_module_whose_constructor_is_running_can_be_in_scope() -> None:
    program = """\
import torch
class Net(torch.nn.Module):
    def __init__(self):
        w = torch.ones(2, requires_grad=True)
        (w * 2).sum().backward()
        super().__init__()
        self.child = Child()
class Child(torch.nn.Linear):
    def __init__(self):
        super().__init__(2, 1)
    def named_modules(self, *args, **kwargs):
        print("asked")
        return super().named_modules(*args, **kwargs)
net = Net()
net.child(torch.ones(1, 2)).sum().backward()
net.zero_grad()
"""
    got, events, _ = recorded(program)
    assert not [event for event in events if isinstance(event, wire.RecorderFailed)]
    assert got.stdout == unrecorded(program).stdout


def test_a_node_is_named_as_its_grad_fn_is_printed() -> None:
    begin = "import torch\nx = torch.ones(2, requires_grad=True)\ny = torch.zeros(4)\n"
    text = f"{begin}y[:2] = x\nprint(y.grad_fn)\ny.sum().backward()\n"
    _, recording = record(text)
    assert recording.stdout().startswith("<CopySlices object")
    assert "CopySlices" in [node.op for node in recording.graph(0).nodes]
