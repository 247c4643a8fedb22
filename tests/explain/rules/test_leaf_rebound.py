"""A rebound attribute or item is found, correct updates are not reported, and the fixed program learns."""

from __future__ import annotations

import pytest
from tapedeck import model, wire
from tapedeck.explain.rewriting.fixes import apply

from ...tracer.run_twice import all_bits, record, recorded, unrecorded
from ...tracer.training.test_steps import all_steps
from ..reported import findings, run_fixed, without_good_signs

LEAF = "torch.tensor(3., requires_grad=True)"
LEARNT = "1.023\n"
"""The printed result of 20 steps from 3 with rate 0.1 and the loss (w - 1) ** 2."""


def fit(begin: str, leaf: str, update: str) -> str:
    """Return a program that trains a leaf in a loop."""
    lines = "\n".join(f"    {line}" for line in update.split("\n"))
    return (
        f"import torch\n{begin}\nfor step in range(20):\n    loss = ({leaf} - 1) ** 2\n    loss.backward()\n{lines}\n"
        f"print(round({leaf}.item(), 3))\n"
    )


def learns(text: str, finding: model.Finding) -> bool:
    """Return whether the fixed program learns the expected value in 20 steps and has no findings."""
    assert finding.fix is not None
    fixed, recording = run_fixed(text, finding.fix)
    assert without_good_signs(recording, model.Program(fixed)) == []
    assert recording.log.counts()[2] == 20
    return recording.stdout() == unrecorded(fixed).stdout == LEARNT


PLAIN = f"class Net:\n    def __init__(self):\n        self.w = {LEAF}\nnet = Net()"
TORCHS = PLAIN.replace("class Net:", "class Net(torch.nn.Module):").replace("self.w =", "super().__init__()\n        self.w =")
BUFFER = TORCHS.replace(f"self.w = {LEAF}", f"self.register_buffer('w', {LEAF})")
SLOT = PLAIN.replace("class Net:\n", "class Net:\n    __slots__ = ('w',)\n")
SPACE = f"import types\nnet = types.SimpleNamespace(w={LEAF})"
LIST, DICT = f"params = [{LEAF}]", f"params = {{'w': {LEAF}}}"
ORDERED = f"import collections\nparams = collections.OrderedDict(w={LEAF})"
INSIDE = f"class Net:\n    pass\nnet = Net()\nnet.layers = [Net(), Net()]\nnet.layers[1].weights = {{0: {LEAF}}}"
CALLED = f"def update(p, params, i):\n    params[i] = p - 0.1 * p.grad\n{LIST}"

MISTAKES = {
    "attribute": (PLAIN, "net.w", "net.w = net.w - 0.1 * net.w.grad"),
    "of a module": (TORCHS, "net.w", "net.w = net.w - 0.1 * net.w.grad"),
    "buffer": (BUFFER, "net.w", "net.w = net.w - 0.1 * net.w.grad"),
    "slot": (SLOT, "net.w", "net.w = net.w - 0.1 * net.w.grad"),
    "of a namespace": (SPACE, "net.w", "net.w = net.w - 0.1 * net.w.grad"),
    "without gradients": (PLAIN, "net.w", "with torch.no_grad():\n    net.w = net.w - 0.1 * net.w.grad\n    net.w.grad = None"),
    "in two statements": (PLAIN, "net.w", "new = net.w - 0.1 * net.w.grad\nnet.w = new"),
    "over two lines": (PLAIN, "net.w", "net.w = (net.w - 0.1 *\n         net.w.grad)"),
    "item": (LIST, "params[0]", "params[0] = params[0] - 0.1 * params[0].grad"),
    "last item": (LIST, "params[-1]", "params[-1] = -0.1 * params[-1].grad + params[-1]"),
    "key": (DICT, "params['w']", "params['w'] = params['w'] - 0.1 * params['w'].grad"),
    "ordered": (ORDERED, "params['w']", "params['w'] = params['w'] - 0.1 * params['w'].grad"),
    "range": (LIST, "params[0]", "for i in range(len(params)):\n    params[i] = params[i] - 0.1 * params[i].grad"),
    "keys": (DICT, "params['w']", "for key in params:\n    params[key] = params[key] - 0.1 * params[key].grad"),
    "enumerate": (LIST, "params[0]", "for i, p in enumerate(params):\n    params[i] = p - 0.1 * p.grad\n    p.grad = None"),
    "items": (DICT, "params['w']", "for key, p in params.items():\n    params[key] = p - 0.1 * p.grad"),
    "reset by another name": (
        LIST,
        "params[0]",
        "for i, p in enumerate(params):\n    params[i] = p - 0.1 * params[i].grad\nfor q in params:\n    q.grad.zero_()",
    ),
    "inside": (INSIDE, "net.layers[1].weights[0]", "w = net.layers[1].weights\nw[0] = w[0] - 0.1 * w[0].grad"),
    "in a function": (CALLED, "params[0]", "update(params[0], params, 0)"),
}
NAMED = {"inside": "w[0]"}
WRITTEN = dict.fromkeys(("range", "enumerate", "reset by another name", "in a function"), "params[i]") | dict.fromkeys(
    ("keys", "items"), "params[key]"
)
"""The spelling in the program, where it differs from the name of the leaf."""


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.filterwarnings("ignore")
def test_a_rebound_attribute_or_item_is_an_error_and_the_fixed_program_learns(case: str) -> None:
    begin, leaf, update = MISTAKES[case]
    text, name = fit(begin, leaf, update), NAMED.get(case, leaf)
    written = WRITTEN.get(case, name)
    (finding,) = findings(text)
    line = max(number for number, each in enumerate(text.split("\n"), 1) if f"{written} = " in each)
    assert (finding.code, finding.severity, finding.line, finding.step) == ("leaf-rebound", "error", line, 0)
    assert finding.message == f"Line {line} makes `{written}` a new tensor. The leaf that PyTorch trains is left behind."
    step = all_steps(record(text)[1])[0]
    (row,) = step.rebinds
    assert (row.name, row.line, row.source, row.uses_gradient) == (name, line, "p0", True)
    assert line in step.lines["update"]
    assert step.iteration == model.Iteration(begin.count("\n") + 3, 0)
    assert learns(text, finding)


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("attribute", "with torch.no_grad():\n        net.w -= 0.1 * net.w.grad\n    net.w.grad = None"),
        ("without gradients", "net.w -= 0.1 * net.w.grad"),
        ("over two lines", "with torch.no_grad():\n        net.w -= (0.1 *\n             net.w.grad)\n    net.w.grad = None"),
        ("enumerate", "with torch.no_grad():\n            params[i].copy_(p - 0.1 * p.grad)"),
        (
            "reset by another name",
            "with torch.no_grad():\n            params[i].copy_(p - 0.1 * params[i].grad)\n        params[i].grad.zero_()",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_fix_reads_as_if_written_by_hand(case: str, text: str) -> None:
    (finding,) = findings(fit(*MISTAKES[case]))
    assert finding.fix is not None
    assert [edit.text for edit in finding.fix.edits] == [text]


METHOD = f"""\
import torch
class Net:
    def __init__(self):
        self.w = {LEAF}
    def learn(self):
        loss = (self.w - 1) ** 2
        loss.backward()
        self.w = self.w - 0.1 * self.w.grad
net = Net()
for step in range(20):
    net.learn()
print(round(net.w.item(), 3))
"""


@pytest.mark.filterwarnings("ignore")
def test_in_a_method_the_leaf_is_named_as_the_method_spells_it() -> None:
    (finding,) = findings(METHOD)
    assert finding.message.startswith("Line 8 makes `self.w` a new tensor.")
    recording = record(METHOD)[1]
    step = all_steps(recording)[0]
    assert [parameter.name for parameter in step.parameters] == ["net.w"]
    (row,) = step.rebinds
    assert (row.name, row.source, row.to and row.to.grad_fn) == ("self.w", "p0", "SubBackward0")
    root = next(graph for graph in map(recording.graph, range(recording.log.counts()[0])) if graph.id == row.graph).nodes[0]
    assert (root.op, root.name) == ("SubBackward0", "self.w")
    assert learns(METHOD, finding)


KEPT = f"w = {LEAF}\nparams = [w]"
MISSED = {
    "its gradient": fit(KEPT, "w", "params[0] = params[0] - 0.1 * params[0].grad"),
    "its gradient, off": fit(KEPT, "w", "with torch.no_grad():\n    params[0] = params[0] - 0.1 * params[0].grad"),
    "a way to it": fit(KEPT, "params[0]", "with torch.no_grad():\n    params[0] = params[0] - 0.1 * params[0].grad"),
    "by another name": fit(KEPT, "w", "for i, p in enumerate(params):\n    params[i] = p - 0.1 * p.grad"),
    "in a variable of the method": METHOD.replace("loss =", "w = self.w\n        loss ="),
}


@pytest.mark.parametrize("text", MISSED.values(), ids=MISSED.keys())
@pytest.mark.filterwarnings("ignore")
def test_a_leaf_with_another_name_is_reported_only_if_the_program_fails(text: str) -> None:
    (finding,) = findings(text)
    assert (finding.code, finding.severity, finding.step) == ("leaf-rebound", "error", 0)
    assert finding.node is not None
    assert learns(text, finding)


def test_a_single_rebinding_step_is_a_warning() -> None:
    text = f"import torch\n{PLAIN}\nloss = (net.w - 1) ** 2\nloss.backward()\nnet.w = net.w - 0.1 * net.w.grad\nprint(net.w)\n"
    (finding,) = findings(text)
    assert (finding.code, finding.severity, finding.line) == ("leaf-rebound", "warning", 8)
    assert finding.fix is not None
    assert finding.fix.edits == [model.Edit((8, 0), (8, 32), "with torch.no_grad():\n    net.w -= 0.1 * net.w.grad")]
    fixed = apply(text, finding.fix)
    assert findings(fixed) == []
    assert unrecorded(fixed).stdout == "tensor(2.6000, requires_grad=True)\n"


def test_a_tuple_assignment_gives_one_finding_per_target_and_no_fix() -> None:
    text = (
        f"import torch\n{PLAIN}\nnet.b = {LEAF}\nloss = net.w * net.b\nloss.backward()\n"
        "net.w, net.b = net.w - 0.1 * net.w.grad, net.b - 0.1 * net.b.grad\n"
    )
    found = findings(text)
    assert [finding.message.split("`")[1] for finding in found] == ["net.w", "net.b"]
    assert [finding.fix for finding in found] == [None, None]


def test_statements_on_one_line_give_separate_findings() -> None:
    update = "net.w = net.w - 0.1 * net.w.grad; params[0] = params[0] - 0.1 * params[0].grad"
    text = f"import torch\n{PLAIN}\n{LIST}\nloss = net.w * params[0]\nloss.backward()\n{update}\n"
    found = findings(text)
    assert [finding.message.split("`")[1] for finding in found] == ["net.w", "params[0]"]
    assert [finding.fix for finding in found] == [None, None]


def test_a_chained_assignment_counts_as_one_rebind() -> None:
    text = f"import torch\n{PLAIN}\nloss = (net.w - 1) ** 2\nloss.backward()\nw = net.w = net.w - 0.1 * net.w.grad\n"
    (step,) = all_steps(record(text)[1])
    assert [row.name for row in step.rebinds] == ["net.w"]


KEEPERS = {
    "attribute": "class Net:\n    pass\nkeeper = Net()\nkeeper.w = w",
    "slot": "class Net:\n    __slots__ = ('w',)\nkeeper = Net()\nkeeper.w = w",
    "class": "class Net:\n    pass\nkeeper = Net\nkeeper.w = w",
    "module": "keeper = torch.nn.Module()\nkeeper.w = w",
    "module in a list": "keeper = [torch.nn.Sequential(torch.nn.Module())]\nkeeper[0][0].register_parameter('w', w)",
    "dict in a list": "keeper = [{'w': w}]",
    "namedtuple": "import collections\nkeeper = collections.namedtuple('Pair', 'w v')(w, 1)",
    "namespace": "import types\nkeeper = types.SimpleNamespace(w=w)",
    "deque": "import collections\nkeeper = collections.deque([w])",
    "set": "keeper = {w}",
    "subclass of list": "class Own(list):\n    pass\nkeeper = Own([w])",
}
AHEAD = """\
import torch
w = torch.nn.Parameter(torch.tensor(3.))
{keeper}
opt = torch.optim.SGD([w], lr=0.1)
ahead = {{"w": w}}
loss = (ahead["w"] - 1) ** 2
loss.backward()
del w, loss
ahead["w"] = ahead["w"] - 0.1 * ahead["w"].grad
loss = (ahead["w"] - 1) ** 2
loss.backward()
opt.step()
print(ahead["w"], opt.param_groups)
"""


@pytest.mark.parametrize("keeper", KEEPERS.values(), ids=KEEPERS.keys())
def test_a_look_ahead_from_a_leaf_with_another_reference_is_not_reported(keeper: str) -> None:
    text = AHEAD.format(keeper=keeper)
    assert findings(text) == []
    (step,) = all_steps(record(text)[1])
    assert (len(step.passes), step.rebinds) == (2, [])


CORRECT = {
    "put back": (
        f"{PLAIN}\nfor step in range(3):\n    ((net.w - 1) ** 2).backward()\n    before = net.w\n"
        "    net.w = net.w - 0.1 * net.w.grad\n    ((net.w - 1) ** 2).backward()\n    net.w = before\n"
        "    with torch.no_grad():\n        net.w -= 0.1 * net.w.grad\n    net.w.grad = None\nprint(net.w)\n"
    ),
    "trial": (
        f"{DICT}\nfor step in range(3):\n    ((params['w'] - 1) ** 2).backward()\n    trial = dict(params)\n"
        "    with torch.no_grad():\n        for key in trial:\n            trial[key] = trial[key] - 0.1 * params[key].grad\n"
        "        if (trial['w'] - 1) ** 2 < (params['w'] - 1) ** 2:\n            params['w'].copy_(trial['w'])\n"
        "    params['w'].grad = None\nprint(params)\n"
    ),
    "inner loop": (
        f"{LIST}\nopt = torch.optim.SGD(params, lr=0.1)\nfor step in range(3):\n    opt.zero_grad()\n"
        "    fast = list(params)\n    for inner in range(2):\n"
        "        grads = torch.autograd.grad(((fast[0] - 1) ** 2), fast, create_graph=True)\n"
        "        for i, g in enumerate(grads):\n            fast[i] = fast[i] - 0.1 * g\n"
        "    ((fast[0] - 1) ** 2).backward()\n    opt.step()\nprint(params)\n"
    ),
    "inner loop, anew": (
        f"{LIST}\nopt = torch.optim.SGD(params, lr=0.1)\nfor step in range(3):\n    opt.zero_grad()\n    fast = params\n"
        "    for inner in range(2):\n        grads = torch.autograd.grad(((fast[0] - 1) ** 2), fast, create_graph=True)\n"
        "        fast = [p - 0.1 * g for p, g in zip(fast, grads)]\n"
        "    ((fast[0] - 1) ** 2).backward()\n    opt.step()\nprint(params)\n"
    ),
    "momentum": (
        f"{PLAIN}\nnet.v = torch.zeros(())\nfor step in range(3):\n    ((net.w - 1) ** 2).backward()\n"
        "    net.v = 0.9 * net.v + net.w.grad\n    with torch.no_grad():\n        net.w -= 0.1 * net.v\n"
        "    net.w.grad = None\nprint(net.w, net.v)\n"
    ),
    "average": (
        f"{PLAIN}\nnet.mean = torch.zeros(())\nfor step in range(3):\n    ((net.w - 1) ** 2).backward()\n"
        "    with torch.no_grad():\n        net.w -= 0.1 * net.w.grad\n        net.mean = 0.9 * net.mean + 0.1 * net.w\n"
        "    net.w.grad = None\nprint(net.w, net.mean)\n"
    ),
    "a leaf again": (
        f"{PLAIN}\nfor step in range(3):\n    ((net.w - 1) ** 2).backward()\n"
        "    net.w = (net.w - 0.1 * net.w.grad).detach().requires_grad_()\nprint(net.w)\n"
    ),
    "a leaf again, by its flag": (
        f"{PLAIN}\nfor step in range(3):\n    ((net.w - 1) ** 2).backward()\n    with torch.no_grad():\n"
        "        net.w = net.w - 0.1 * net.w.grad\n    net.w.requires_grad = True\nprint(net.w)\n"
    ),
    "a leaf again, in two": (
        f"{LIST}\nfor step in range(3):\n    ((params[0] - 1) ** 2).backward()\n"
        "    params[0] = params[0] - 0.1 * params[0].grad\n    params[0] = params[0].detach().requires_grad_()\nprint(params)\n"
    ),
    "a parameter again": (
        f"{PLAIN.replace('torch.tensor(3., requires_grad=True)', 'torch.nn.Parameter(torch.tensor(3.))')}\n"
        "for step in range(3):\n    ((net.w - 1) ** 2).backward()\n"
        "    net.w = torch.nn.Parameter(net.w - 0.1 * net.w.grad)\nprint(net.w)\n"
    ),
    "in place": (
        f"{TORCHS}\n{LIST}\nfor step in range(3):\n    ((net.w - params[0] - 1) ** 2).backward()\n"
        "    with torch.no_grad():\n        net.w -= 0.1 * net.w.grad\n        params[0] -= 0.1 * params[0].grad\n"
        "    net.w.grad = params[0].grad = None\nprint(net.w, params)\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CORRECT)
def test_a_correct_update_has_no_findings_and_one_step_per_iteration(case: str) -> None:
    text = f"import torch\n{CORRECT[case]}"
    assert findings(text) == []
    found = all_steps(record(text)[1])
    assert [step.iteration.index for step in found if step.iteration] == [0, 1, 2]
    moved = [(row.to and (row.to.is_leaf, row.to.requires_grad), row.graph) for step in found for row in step.rebinds]
    assert moved == ([((True, True), None)] * 3 if "leaf again" in case else [])


def test_moving_an_input_along_its_gradient_is_not_reported() -> None:
    text = (
        f"import torch\nw = {LEAF}\nopt = torch.optim.SGD([w], lr=0.1)\nbatch = {{}}\nfor step in range(2):\n"
        "    batch['x'] = torch.ones(2, requires_grad=True)\n    (batch['x'] * w).sum().backward()\n"
        "    batch['x'] = batch['x'] + 0.1 * batch['x'].grad.sign()\n    opt.zero_grad()\n"
        "    (batch['x'] * w).sum().backward()\n    opt.step()\n"
    )
    assert findings(text) == []


def test_a_list_rebuilt_from_new_leaves_is_a_correct_update() -> None:
    text = (
        f"import torch\n{LIST}\nfor step in range(3):\n    ((params[0] - 1) ** 2).backward()\n"
        "    for i, p in enumerate(params):\n        params[i] = p - 0.1 * p.grad\n"
        "    params = [p.detach().requires_grad_() for p in params]\nprint(params)\n"
    )
    assert findings(text) == []


@pytest.mark.parametrize("update", ["net.w -= 0.1 * net.w.grad", "params[0] -= 0.1 * params[0].grad"])
def test_an_update_in_place_with_gradients_on_is_reported_as_inplace_on_leaf(update: str) -> None:
    text = f"import torch\n{PLAIN}\n{LIST}\n((net.w - params[0]) ** 2).backward()\n{update}\n"
    (finding,) = findings(text)
    assert (finding.code, finding.severity) == ("inplace-on-leaf", "error")


def test_an_assignment_that_a_module_refuses_is_no_rebind() -> None:
    text = (
        "import torch\nnet = torch.nn.Linear(1, 1)\nnet(torch.ones(1)).backward()\n"
        "net.weight = net.weight - 0.1 * net.weight.grad\n"
    )
    events, recording = record(text)
    assert isinstance(events[-1], wire.EndEvent)
    assert events[-1].failure is not None
    assert "cannot assign" in events[-1].failure.message
    assert all_steps(recording)[0].rebinds == []


OWN = """\
import torch
class Meta(type):
    def __getattribute__(cls, name):
        print("meta", name)
        return super().__getattribute__(name)
class Asks(metaclass=Meta):
    def __init__(self):
        self.w = torch.tensor(3., requires_grad=True)
    def __getattribute__(self, name):
        print("get", name)
        return super().__getattribute__(name)
class Tells:
    def __setattr__(self, name, value):
        print("set", name)
        super().__setattr__(name, value)
    def __getattr__(self, name):
        print("look for", name)
class Lists:
    @property
    def __dict__(self):
        print("list")
        return {}
class Computes:
    @property
    def w(self):
        print("read w")
        return self._w
    @w.setter
    def w(self, value):
        print("write w")
        self._w = value
class Items(list):
    def __getitem__(self, place):
        print("get", place)
        return super().__getitem__(place)
    def __iter__(self):
        print("iterate")
        return super().__iter__()
class Keys(dict):
    def __missing__(self, key):
        print("missing", key)
        return super().__getitem__(str(key))
    def values(self):
        print("values")
        return super().values()
class Key(str):
    def __hash__(self):
        print("hash")
        return super().__hash__()
    def __eq__(self, other):
        print("equal")
        return super().__eq__(other)
asks, tells, lists, computes = Asks(), Tells(), Lists(), Computes()
lists.w = torch.tensor(3., requires_grad=True)
tells.w = torch.tensor(3., requires_grad=True)
computes.w = torch.tensor(3., requires_grad=True)
items = Items([torch.tensor(3., requires_grad=True)])
keys = Keys(w=torch.tensor(3., requires_grad=True))
kept = {"w": torch.tensor(3., requires_grad=True)}
key = Key("w")
print("begin")
(asks.w + tells.w + lists.w + computes.w + items[0] + keys["w"] + kept[key]).backward()
print("update")
asks.w = asks.w - 0.1 * asks.w.grad
tells.w = tells.w - 0.1 * tells.w.grad
lists.w = lists.w - 0.1 * lists.w.grad
computes.w = computes.w - 0.1 * computes.w.grad
items[0] = items[0] - 0.1 * items[0].grad
keys["w"] = keys["w"] - 0.1 * keys["w"].grad
kept[key] = kept[key] - 0.1 * kept[key].grad
"""


def test_detecting_rebinds_runs_no_code_of_the_program() -> None:
    outcome, _, recording = recorded(OWN)
    expected = unrecorded(OWN)
    assert outcome.error is expected.error is None
    begin = expected.stdout.index("update\n")
    assert outcome.stdout[outcome.stdout.index("update\n") :] == expected.stdout[begin:]
    # `Asks` customizes reads only, and the setter of `Computes` assigns to an attribute.
    # Detecting the other rebinds would run code of the program.
    assert [row.name for step in all_steps(recording) for row in step.rebinds] == ["asks.w", "self._w"]


EVERY = {
    **{case: fit(begin, leaf, update) for case, (begin, leaf, update) in MISTAKES.items()},
    **{f"kept: {case}": text for case, text in MISSED.items()},
    **{f"correct: {case}": f"import torch\n{text}" for case, text in CORRECT.items()},
    **{f"ahead: {case}": AHEAD.format(keeper=keeper) for case, keeper in KEEPERS.items()},
    "method": METHOD,
}


@pytest.mark.parametrize("text", EVERY.values(), ids=EVERY.keys())
@pytest.mark.filterwarnings("ignore")
def test_a_recorded_program_computes_the_same_bits_as_without_recording(text: str) -> None:
    outcome, _, recording = recorded(text)
    expected = unrecorded(text)
    assert outcome.error == expected.error
    assert outcome.stdout == expected.stdout
    assert all_bits(outcome.variables) == all_bits(expected.variables)
    assert not recording.signals(wire.RecorderFailed)
