"""A recorded program neither sees nor prints anything of the recorder."""

from __future__ import annotations

import re
import threading
import warnings
from ast import literal_eval
from itertools import product

import pytest
import torch
from tapedeck import wire

from .run_twice import record, recorded, unrecorded

START = "import torch, traceback, warnings, threading, inspect, sys\nw = torch.ones(2, requires_grad=True)\n"


def assert_as_unrecorded(program: str) -> str:
    """Run a program recorded and unrecorded, and check that output and end are equal. Return the output."""
    expected = unrecorded(program)
    got, events, _ = recorded(program)
    failures = [event.message for event in events if isinstance(event, wire.RecorderFailed)]
    assert (got.stdout, got.error, failures) == (expected.stdout, expected.error, [])
    assert got.stderr.replace("<program>", "<alone>") == expected.stderr
    return got.stdout


# ---------------------------------------------------------------------- tracebacks

NEVER_RAISED = {
    "a cause": "raise RuntimeError('outer') from ValueError('inner')",
    "a cause of a cause": "e = ValueError('b'); e.__cause__ = KeyError('c')\nraise RuntimeError('outer') from e",
    "a context": "e = RuntimeError('outer'); e.__context__ = ValueError('inner')\nraise e",
    "a group": "raise ExceptionGroup('several', [ValueError('a'), ExceptionGroup('more', [TypeError('b')])])",
    "a group with a raised one": "try:\n    w.backward()\nexcept RuntimeError as e:\n    f = e\n"
    "raise ExceptionGroup('g', [f, OSError('x')])",
    "a group as the cause": "raise RuntimeError('outer') from ExceptionGroup('several', [ValueError('a')])",
}


@pytest.mark.parametrize("shape", NEVER_RAISED)
def test_an_exception_that_was_never_raised_is_reported_as_in_python(shape: str) -> None:
    program = f"{START}print('before')\n(w * 2).sum().backward()\n{NEVER_RAISED[shape]}\n"
    assert assert_as_unrecorded(program) == "before\n"
    failure = record(program)[0][-1].failure  # type: ignore[union-attr]
    assert failure is not None
    assert "tapedeck" not in failure.traceback
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        exec(compile(program, "<program>", "exec"), {})
    import traceback

    frames = traceback.format_exception(raised.value.with_traceback(raised.value.__traceback__.tb_next))  # type: ignore[union-attr]
    assert failure.traceback == "".join(frames)


@pytest.mark.parametrize("shape", NEVER_RAISED)
def test_a_caught_exception_that_was_never_raised_is_printed_as_unrecorded(shape: str) -> None:
    body = NEVER_RAISED[shape].replace("\n", "\n    ")
    printed = assert_as_unrecorded(
        f"{START}try:\n    {body}\nexcept Exception:\n    print(traceback.format_exc().count('File'))\n"
    )
    assert printed


STACKS = {
    "print_stack": "traceback.print_stack(file=sys.stdout)",
    "format_stack": "print(''.join(traceback.format_stack()))",
    "extract_stack": "print([(entry.name, entry.lineno) for entry in traceback.extract_stack()])",
    "a summary": "print([(each.name, each.lineno) for each in traceback.StackSummary.extract(traceback.walk_stack(None))])",
    "f_back": "frame, found = sys._getframe(), []\n    while frame is not None:\n"
    "        found.append((frame.f_code.co_name, frame.f_lineno))\n        frame = frame.f_back\n    print(found)",
    "a limit": "print(traceback.format_stack(limit=2))",
    "inspect.stack": "print([(info.function, info.lineno) for info in inspect.stack()])",
    "format_exc": "try:\n        1 / 0\n    except ZeroDivisionError:\n        print(traceback.format_exc())",
}
PLACES = {
    "a function": "def look():\n    {}\nlook()",
    "a module": "class M(torch.nn.Module):\n    def forward(self, x):\n        look()\n        return x\n"
    "def look():\n    {}\nM()(w)",
    "a backward hook": "def look(*_):\n    {}\nw.register_hook(look)\n(w * 2).sum().backward()",
    "a custom function": "class F(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x):\n        look()\n"
    "        return x * 2\n    @staticmethod\n    def backward(ctx, g):\n        look()\n        return g\n"
    "def look():\n    {}\nF.apply(w).sum().backward()",
    "a closure": "def look():\n    {}\n    return (w * 2).sum()\ntorch.optim.SGD([w], lr=0.1).step(look)",
    "a closure of LBFGS": "def look():\n    {}\n    return (w * 0).sum()\ntorch.optim.LBFGS([w]).step(look)",
    "a closure with a parameter": "def look(x=None):\n    {}\n    return (w * 2).sum()\ntorch.optim.SGD([w]).step(look)",
    "a trace": "def look(x):\n    {}\n    return x * 2\ntorch.jit.trace(look, torch.ones(2), check_trace=False)",
    "a thread": "def look():\n    {}\nthread = threading.Thread(target=look)\nthread.start()\nthread.join()",
    "a torch function": "class T(torch.Tensor):\n    @classmethod\n"
    "    def __torch_function__(cls, func, types, args=(), kwargs=None):\n"
    "        look()\n        return super().__torch_function__(func, types, args, kwargs or {{}})\n"
    "def look():\n    {}\ntorch.ones(2).as_subclass(T).relu()",
}


OF_THE_TEST = re.compile(
    r'  File "(?!<alone>)(?:(?!File "<alone>").)*?run_twice\.py", line \d+, in unrecorded\n.*?\n', re.DOTALL
)
"""The frames of the test that call a program run without the recorder."""


SEEN = [("f_back", "a closure with a parameter"), ("f_back", "a torch function")]
"""Where a program still sees frames of the recorder."""


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize(("look", "place"), [each for each in product(STACKS, PLACES) if each not in SEEN])
def test_a_program_that_looks_at_the_stack_does_not_see_the_recorder(look: str, place: str) -> None:
    program = START + PLACES[place].format(STACKS[look]) + "\n"
    got, expected = recorded(program)[0].stdout, unrecorded(program).stdout
    assert got
    if "(" not in got.splitlines()[0][:3]:
        expected = OF_THE_TEST.sub("", expected.replace("\\n", "\n"))
        assert got.replace("\\n", "\n").replace("<program>", "<alone>").replace("['", "") == expected.replace("['", "")
        return
    for mine, alone_too in zip(map(literal_eval, got.splitlines()), map(literal_eval, expected.splitlines()), strict=True):
        assert mine == (alone_too[: len(mine)] if look in ("inspect.stack", "a summary", "f_back") else alone_too[-len(mine) :])
        assert place == "a thread" or ("<module>" in mine[0 if look == "extract_stack" else -1])


def test_the_forward_traceback_of_anomaly_detection_has_the_programs_lines_only() -> None:
    program = (
        f"{START}def root(x):\n    return torch.sqrt(x * 0 - 1)\n"
        "try:\n    with torch.autograd.detect_anomaly():\n        root(w).sum().backward()\nexcept RuntimeError:\n    pass\n"
    )
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        record(program)
    text = str(shown[-1].message)
    assert 'Traceback of forward call that caused the error:\n  File "<program>", line 7, in <module>' in text
    assert text.count("File ") == 2


def test_an_exception_in_a_thread_is_printed_without_the_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)  # pytest installs another hook
    program = (
        f"{START}class M(torch.nn.Module):\n    def forward(self, x):\n        return x.nothing\n"
        "thread = threading.Thread(target=lambda: M()(w))\nthread.start()\nthread.join()\n"
    )
    text = recorded(program)[0].stderr
    assert "AttributeError: 'Tensor' object has no attribute 'nothing'" in text
    assert text.count("File ") == 6
    assert "app/tracer" not in text


def test_code_of_the_program_prints_nothing_in_an_implicit_pass() -> None:
    assert_as_unrecorded(f"{START}h = w.register_hook(print)\n(w * 2).sum()\nprint(1)\n")
    assert_as_unrecorded(START + PLACES["a torch function"].format("print('called')"))


# ---------------------------------------------------------------------- warnings

WARNINGS = {
    "once per line": "for step in range(4):\n    warnings.warn('only once')\n    (w ** 2).sum().backward()",
    "a level above all": "warnings.warn('top', stacklevel=2)\nwarnings.warn('far above', stacklevel=9)",
    "of the caller": "def f():\n    warnings.warn('mine', stacklevel=2)\nf()\nf()",
    "a module's line": "class M(torch.nn.Module):\n    def forward(self, x):\n        warnings.warn('in it', stacklevel=4)\n"
    "        return x\nM()(w)",
    "a torch function's line": "y = w * 2\ny.grad\ny.grad\nm = torch.nn.Softmax()\nm(w)\ntorch.nn.functional.softmax(w)",
    "a library's line": "m = torch.nn.Hardtanh(min_value=-1)\nl = torch.nn.MSELoss()\nl(w, torch.ones(1, 2))\n"
    "torch.nn.functional.l1_loss(w, torch.ones(1, 2))",
    "in C++": "x = torch.arange(12).reshape(3, 4).t()\nfor _ in range(3):\n    torch.searchsorted(x, x.contiguous()[:, :1])\n"
    "torch.meshgrid(torch.ones(2), torch.ones(3))\ntorch.functional.meshgrid(torch.ones(2), torch.ones(3))",
    "graph made": "(w ** 2).sum().backward(create_graph=True)\nw.grad = None",
    "schedulers": "o = torch.optim.SGD([w], 0.1)\ns = torch.optim.lr_scheduler.StepLR(o, 1)\ns.step()\ns.step()\n"
    "(w ** 2).sum().backward()\no.step()\ns.step(3)",
}


@pytest.mark.parametrize("kind", WARNINGS)
def test_warnings_are_shown_as_often_and_where_python_shows_them(kind: str) -> None:
    program = f"{START}{WARNINGS[kind]}\n"
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # otherwise torch's own warnings are shown once per process
    shown = []
    for run in (unrecorded, record):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            run(program)
        shown.append([(str(each.message), each.filename.replace("<alone>", "<program>"), each.lineno) for each in caught])
    torch.set_warn_always(before)
    expected = [each if "above" not in each[0] else (each[0], "sys", 1) for each in shown[0]]
    assert expected
    assert shown[1] == [each if each[0] != "top" else ("top", "sys", 1) for each in expected]


def test_recording_does_not_touch_the_filters_of_warnings() -> None:
    program = (
        f"{START}made = []\nchanged = warnings._filters_mutated\nwarnings._filters_mutated = lambda: made.append(1)\n"
        "m = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())\no = torch.optim.Adam(m.parameters())\n"
        "for _ in range(2):\n    o.zero_grad()\n    m(w).softmax(0).sum().backward()\n    o.step()\n"
        "torch.autograd.grad((w ** 3).sum(), w, create_graph=True)[0].sum().backward()\nw\n"
        "warnings._filters_mutated = changed\nprint(len(made))\n"
    )
    assert assert_as_unrecorded(program) == "0\n"


# ---------------------------------------------------------------------- weak references

SWAPS = {
    "two tensors": "a, b = torch.arange(2), torch.arange(3)\ntorch.utils.swap_tensors(a, b)\nprint(a, b)",
    "in a loop": "for i in range(3):\n    (w * 2).sum().backward()\n    step = w.grad * 0.1\n    d = step.detach()\n"
    "    torch.utils.swap_tensors(step, d)\n    a, b = torch.full((2,), i), torch.ones(2, 3)\n"
    "    torch.utils.swap_tensors(a, b)\n    print(step, d, a, b)",
    "one that the program refers to": "import weakref\na, b = torch.ones(2), torch.ones(3)\nr = weakref.ref(a)\n"
    "try:\n    torch.utils.swap_tensors(a, b)\nexcept RuntimeError as error:\n    print(error)",
    "one that a graph uses": "a, y = torch.ones(2), w * w\n"
    "try:\n    torch.utils.swap_tensors(w, a)\nexcept RuntimeError as error:\n    print(error)",
    "parameters": "p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.zeros(3))\n(p * 3).sum().backward()\n"
    "torch.utils.swap_tensors(p, q)\nprint(p.grad, q.grad)\n(p * 3).sum().backward()\nprint(p, p.grad, q, q.grad)",
    "a module that is converted": "torch.__future__.set_swap_module_params_on_conversion(True)\n"
    "m = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))\nv = m[0].weight\n"
    "o = torch.optim.SGD(m.parameters(), 0.1)\nfor _ in range(2):\n    o.zero_grad()\n    m(w).sum().backward()\n    o.step()\n"
    "m(w)\nd = v.detach()\nm.double()\nprint(v.dtype, v is m[0].weight)\nm(w.double()).sum().backward()\nprint(v.grad.dtype)\n"
    "m.load_state_dict({k: t * 2 for k, t in m.state_dict().items()})\nm.to_empty(device='meta')\nprint(v.device)\n"
    "torch.__future__.set_swap_module_params_on_conversion(False)",
}


@pytest.mark.parametrize("kind", SWAPS)
def test_tensors_are_swapped_as_in_an_unrecorded_run(kind: str) -> None:
    try:
        assert_as_unrecorded(f"{START}{SWAPS[kind]}\n")
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


def test_a_swapped_tensor_keeps_its_name_and_its_value_of_each_line() -> None:
    program = (
        f"{START}a = torch.ones(2, requires_grad=True)\nb = torch.full((2,), 5.0, requires_grad=True)\n"
        "torch.utils.swap_tensors(a, b)\n(a * 2).sum().backward()\n"
    )
    events, recording = record(program)
    assert [event.name for event in events if isinstance(event, wire.ParameterEvent)] == ["a"]
    texts = {row.line: row.text for event in events if isinstance(event, wire.LinesEvent) for row in event.rows}
    assert (texts[3], texts[4]) == ("tensor([1., 1.], requires_grad=True)", "tensor([5., 5.], requires_grad=True)")
    assert [node.op for node in recording.graph(0).nodes] == ["SumBackward0", "MulBackward0", "AccumulateGrad"]


# ---------------------------------------------------------------------- dicts of a function's variables

STEP = "    (w * 2).sum().backward()\n    torch.optim.SGD([w], 0.1).step()\n    y = w * 1\n    (w * y).sum().backward()\n"
KEPT = {
    "locals": f"def f(x):\n    kept = locals()\n{STEP}    print(sorted(kept))\n    return kept\nprint(sorted(f(1)))",
    "vars": f"def f(x):\n    kept = vars()\n{STEP}    for i in range(2):\n        pass\n    print(sorted(kept))\nf(1)",
    "an item of its own": f"def f(x):\n    exec('q = 1')\n    locals()['r'] = 2\n{STEP}    m = locals()\n"
    "    print(m['q'], m['r'], sorted(m))\nf(1)",
    "of a frame": f"def f(x):\n    kept = sys._getframe().f_locals\n{STEP}    print(sorted(kept))\nf(1)",
    "of a class and a module": "class C:\n    kept = locals()\n    y = w * 2\n    print('y' in kept, locals() is kept)\n"
    "kept = locals()\nz = w * 3\nprint('z' in kept)",
}


@pytest.mark.parametrize("kind", KEPT)
def test_a_kept_dict_of_variables_changes_only_when_the_program_reads_it(kind: str) -> None:
    assert assert_as_unrecorded(f"{START}{KEPT[kind]}\n")


# ---------------------------------------------------------------------- subclasses of tensors

SUBCLASSES = {
    "a sparse masked tensor": "from torch.masked import masked_tensor\nwarnings.simplefilter('ignore')\n"
    "v = torch.tensor([[0.0, 0.0, 3.0], [4.0, 0.0, 5.0]])\nmt = masked_tensor(v, v > 3)\nfor s in (mt.to_sparse_coo(), "
    "mt.to_sparse_csr()):\n    print(s.shape, s)\n    t = s * 2\n    print(t)",
    "a masked tensor with gradients": "from torch.masked import masked_tensor\nwarnings.simplefilter('ignore')\n"
    "mt = masked_tensor(torch.ones(3), torch.tensor([True, False, True]), requires_grad=True)\nu = mt * 2\nu.sum().backward()\n"
    "print(mt.grad)\nc = u.detach()\nc += 1\nprint(c)",
    "a wrapper that reports each call": """from torch.utils._pytree import tree_map
class Wrap(torch.Tensor):
    @staticmethod
    def __new__(cls, inner):
        made = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, layout=inner.layout)
        made.inner = inner
        return made
    def __init__(self, inner):
        pass
    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        print(func)
        inner = lambda each: each.inner if isinstance(each, Wrap) else each
        out = func(*tree_map(inner, args), **tree_map(inner, kwargs or {}))
        return tree_map(lambda each: Wrap(each) if isinstance(each, torch.Tensor) else each, out)
    def __repr__(self):
        return 'Wrap'
a = Wrap(torch.ones(3))
b = a * 2
b += 1
c = b
s = Wrap(torch.eye(3).to_sparse())
t = s * 2
v = b.view(3, 1)
v.zero_()
print(a, b, c, s, t, v)""",
}


@pytest.mark.parametrize("kind", SUBCLASSES)
def test_a_subclass_of_tensor_sees_no_call_of_the_recorder(kind: str) -> None:
    assert assert_as_unrecorded(f"{START}{SUBCLASSES[kind]}\n")


# ---------------------------------------------------------------------- exports, fake tensors and compilers

LINEAR = (
    "class M(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.l = torch.nn.Linear(4, 2)\n"
    "    def forward(self, x):\n        y = torch.zeros(x.shape[0], 2)\n        y += self.l(x)\n        return y.relu()\n"
    "m = M()\n"
)
EXPORT = (
    LINEAR + "from torch.export import Dim, export\np = export(m, (torch.randn(6, 4),), "
    "dynamic_shapes={'x': {0: Dim('b', min=2)}}"
)
AFTER = "\n(w * 3).sum().backward()\nprint(w.grad)"
TRACED = {
    "an export with a dynamic dimension": f"{EXPORT})\nprint(p.graph_module.code, p.module()(torch.ones(8, 4)).shape){AFTER}",
    "a strict export": f"{EXPORT}, strict=True)\nprint(p.graph_module.code){AFTER}",
    "a checked operator": "@torch.library.custom_op('as_alone::scale', mutates_args=())\n"
    "def scale(x: torch.Tensor, k: float) -> torch.Tensor:\n    y = x.clone()\n    y *= k\n    return y\n"
    "@scale.register_fake\ndef _(x, k):\n    out = torch.empty_like(x)\n    return out\n"
    "scale.register_autograd(lambda ctx, g: (g * ctx.k, None), "
    "setup_context=lambda ctx, inputs, output: setattr(ctx, 'k', inputs[1]))\n"
    f"print(torch.library.opcheck(scale, (torch.ones(3, requires_grad=True), 2.0)))\nscale(w, 3.0).sum().backward(){AFTER}",
    "fake tensors": "from torch._subclasses import FakeTensorMode\nwith FakeTensorMode():\n"
    "    a = (torch.randn(3, 4, requires_grad=True) * 2).sum()\n    m = torch.nn.Linear(3, 2)\n"
    "    o = torch.optim.Adam(m.parameters())\n    for _ in range(2):\n        o.zero_grad()\n"
    "        l = m(torch.randn(5, 3)).sum()\n"
    f"        l.backward()\n        o.step()\nprint(a, l, m.weight.grad){AFTER}",
    "symbolic sizes": "from torch._subclasses import FakeTensorMode\n"
    "from torch.fx.experimental.symbolic_shapes import ShapeEnv\nmode = FakeTensorMode(shape_env=ShapeEnv())\n"
    "fake = mode.from_tensor(torch.randn(4, 3, requires_grad=True))\n"
    f"y = fake * 2\ny += 1\nz = y.view(-1).sum()\nz.backward()\nd = fake.detach()\ng = fake.grad\nprint(y.shape, z, g){AFTER}",
    "an aot function": "from functorch.compile import aot_function, nop\n"
    f"aot_function(lambda x: (x * 2).sin(), fw_compiler=nop)(w).sum().backward(){AFTER}",
    "dynamo": "def f(x):\n    y = torch.sin(x)\n    if x.sum() > 0:\n        y = y * 2\n    return y\n"
    "e = torch._dynamo.explain(f)(torch.ones(3))\nprint(e.graph_count, e.graph_break_count)\n"
    f"g, _ = torch._dynamo.export(lambda x: x * 2)(torch.ones(3))\nprint(g.code){AFTER}",
    "a jit trace": "def f(x):\n    y = x * 2\n    print('traced', y.shape)\n    return y\n"
    f"t = torch.jit.trace(f, torch.ones(2))\nprint(t.code, t(torch.ones(3))){AFTER}",
    "dynamo after a compiled function": "@torch.compile(backend='eager')\ndef f(x):\n    return x * 2\nprint(f(w))\n"
    f"import torch._dynamo as dynamo\nprint(dynamo.explain(lambda x: x * 2)(torch.ones(3)).graph_count){AFTER}",
}


@pytest.mark.parametrize("kind", TRACED)
def test_a_program_that_pytorch_traces_runs_as_unrecorded_and_gets_a_note(kind: str) -> None:
    program = f"{START}{TRACED[kind]}\n"
    with warnings.catch_warnings(record=True) as expected:
        warnings.simplefilter("always")
        outcome = unrecorded(program)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        got, events, recording = recorded(program)
    torch.compiler.set_stance("default")
    assert (got.stdout, got.error) == (outcome.stdout, outcome.error)
    assert not [each for each in shown if str(each.message) not in {str(other.message) for other in expected}]
    kinds = [type(event) for event in events]
    assert kinds.count(wire.TracedUnrecorded) == 1
    assert wire.RecorderFailed not in kinds
    assert [leaf.name for leaf in recording.graph(kinds.count(wire.GraphEvent) - 1).nodes if leaf.name] == ["w"]


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_function_runs_eagerly_and_gets_a_note() -> None:
    program = (
        f"{START}@torch.compile(dynamic=True)\ndef f(x):\n    y = x * 2\n    return y.sum()\nf(w).backward()\n"
        "m = torch.nn.Linear(2, 1)\nm.compile(backend='aot_eager')\nm(w).sum().backward()\nprint(w.grad.shape, f.__name__)\n"
    )
    got, events, _ = recorded(program)
    torch.compiler.set_stance("default")
    assert got.error is None
    assert [event.line for event in events if isinstance(event, wire.CompiledEagerly)] == [3]
    assert sum(isinstance(event, wire.PassEvent) for event in events) == 2


WRITTEN = {
    "a method": "t.add_(1)",
    "an item": "t[0] = 2",
    "out": "torch.add(t, 1, out=t)",
    "an operator": "t *= 2",
    "a plain tensor": "torch.ones(2).mul_(t)",
    "a view": "t.view(2, 1).zero_()",
    "a norm": "t.norm()",
    "a method in Python": "t.split(1)\nt.unflatten(0, (2, 1))",
    "a reversed operator": "2 - t\n2 // t\n2 ** t",
    "a load": "t.module_load(torch.zeros(2), assign=True)\ntorch.zeros(2).module_load(t)",
    "a function": "torch.nn.functional.gelu(t)\ntorch.einsum('i,i', t, t)\nparts = torch.split(t, 1)",
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_torch_function_of_the_program_is_called_as_often_as_alone(kind: str) -> None:
    head = (
        "class T(torch.Tensor):\n    @classmethod\n    def __torch_function__(cls, func, types, args=(), kwargs=None):\n"
        "        print(func.__name__)\n        return super().__torch_function__(func, types, args, kwargs or {})\n"
    )
    assert assert_as_unrecorded(f"{START}{head}t = torch.ones(2).as_subclass(T)\n{WRITTEN[kind]}\n")


def test_the_repr_of_a_programs_own_tensors_is_not_called() -> None:
    program = (
        f"{START}class T(torch.Tensor):\n    def __repr__(self):\n        print('called')\n        return 'mine'\n"
        "t = torch.ones(2).as_subclass(T)\nu = t * 2\nt\nprint('end')\n"
    )
    assert assert_as_unrecorded(program) == "end\n"
    lines = {line.line: line.text for line in recorded(program)[2].lines()}
    assert lines[8] == "T([2., 2.])"


CLOSURES = {
    "no parameter": ("def closure(", "step(closure)"),
    "a parameter": ("def closure(again=True", "step(closure)"),
    "a method": ("class C:\n    pass\ndef closure(self", "step(types.MethodType(closure, C()))"),
}


@pytest.mark.parametrize("kind", CLOSURES)
@pytest.mark.parametrize("optimizer", ["SGD([w], lr=0.1)", "LBFGS([w], max_iter=3)"])
def test_a_closure_is_recorded_as_the_program_calls_it(kind: str, optimizer: str) -> None:
    head, call = CLOSURES[kind]
    program = (
        f"{START}import types\n{head}):\n    o.zero_grad()\n    loss = ((w - 3) ** 2).sum()\n    loss.backward()\n"
        f"    return loss\no = torch.optim.{optimizer}\nfor _ in range(3):\n    print(o.{call})\nprint(w)\n"
    )
    assert assert_as_unrecorded(program)
    assert recorded(program)[2].log.counts()[2] == 3


def test_a_closure_that_fails_fails_as_alone_and_the_next_step_is_recorded() -> None:
    program = (
        f"{START}calls = []\ndef closure():\n    calls.append(1)\n    loss = (w ** 2).sum()\n    loss.backward()\n"
        "    if len(calls) == 1:\n        raise StopIteration('one')\n    return loss\no = torch.optim.SGD([w], lr=0.1)\n"
        "for _ in range(3):\n    try:\n        print(o.step(closure))\n    except StopIteration as error:\n"
        "        print(repr(error), error.__traceback__.tb_next is not None)\n    o.zero_grad()\n"
    )
    assert "StopIteration('one') True" in assert_as_unrecorded(program)
    assert recorded(program)[2].log.counts()[2] == 3


# ---------------------------------------------------------------------- keys of hooks, and lifetimes


def test_hooks_of_the_program_get_the_keys_of_an_unrecorded_run() -> None:
    program = (
        f"{START}from torch.utils.hooks import RemovableHandle\nRemovableHandle.next_id = 0\nm = torch.nn.Linear(2, 2)\n"
        "print(m.register_forward_pre_hook(lambda *_: None).id, list(m._forward_pre_hooks))\n"
        "o = torch.optim.SGD([w], 0.1)\nprint(o.register_step_post_hook(lambda *_: None).id)\n"
        "(m(w) * 2).sum().backward()\no.step()\nprint(w.register_hook(lambda _: None).id)\n"
    )
    before = torch.utils.hooks.RemovableHandle.next_id
    try:
        assert assert_as_unrecorded(program) == "0 [0]\n1\n2\n"
        torch.utils.hooks.RemovableHandle.next_id = 7
        record("print(1)\n")
        assert torch.utils.hooks.RemovableHandle.next_id == 7
    finally:
        torch.utils.hooks.RemovableHandle.next_id = before


LIFETIMES = """import weakref
def watch(name, value):
    weakref.finalize(value, print, "freed", name)
y = torch.ones(3) * 2
watch("y", y)
del y
print("after y")
z = w * 2
watch("z", z)
del z
print("after z")
a, b = torch.zeros(4), torch.zeros(4)
watch("a", a)
watch("b", b)
del a, b
print("after a and b")
n = torch.ones(2)
watch("n", n)
n = None
print("after n")
batch = (torch.ones(2), [torch.ones(3)])
watch("in batch", batch[1][0])
del batch
print("after batch")
v = torch.ones(2)
watch("v", v)
u = v.view(2)
del v
print("after v", u)
del u
class C:
    t = torch.ones(1)
    watch("t", t)
    del t
    print("after t")
def f(times):
    q = torch.ones(2) * times
    watch("q", q)
    (w * times).sum().backward()
    l = [q]
    del q, l
    print("after q")
f(1)
f(2)
o = torch.optim.SGD([w], 0.1)
watch("o", o)
del o
print("after o")
x = torch.ones(2)
watch("x", x)
values = {"x": x}
del values["x"], x
print("after x")
"""


def test_a_tensor_that_the_program_deletes_is_freed_by_the_next_line() -> None:
    assert assert_as_unrecorded(START + LIFETIMES).count("freed") == 12


@pytest.mark.parametrize("deletion", ["del nothing", "del w, nothing", "def f():\n    del u\n    u = 1\nf()"])
def test_a_deletion_that_fails_is_reported_as_in_python(deletion: str) -> None:
    program = f"{START}{deletion}\n"
    assert_as_unrecorded(program)
    failure = record(program)[0][-1].failure  # type: ignore[union-attr]
    assert failure is not None
    assert failure.line == 3 if "def" not in deletion else 4


def test_a_deleted_value_is_still_shown_at_its_line() -> None:
    program = f"{START}y = w * 3\ny.sum().backward()\nz = torch.arange(3)\ndel y, z\nw.grad = None\n"
    events, recording = record(program)
    texts = {row.line: row.text for event in events if isinstance(event, wire.LinesEvent) for row in event.rows}
    assert (texts[3], texts[5]) == ("tensor([3., 3.], grad_fn=<MulBackward0>)", "tensor([0, 1, 2])")
    assert [node.op for node in recording.graph(0).nodes] == ["SumBackward0", "MulBackward0", "AccumulateGrad"]
