"""Parameters that no pass reaches are reported at the line that leaves them out, unless they are left out on purpose."""

from __future__ import annotations

import pytest

from ..reported import codes, findings, line_of
from .training_loops import BEGIN, STEP, loop

TWO = "import torch\nw = torch.ones(2, requires_grad=True)\nu = torch.ones(2, requires_grad=True)\n"


STEPS_BY_HAND = """\
for i in range(9):
    (w ** 2).sum().backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
"""


def test_a_parameter_that_no_pass_reaches_is_noted_after_a_few_steps() -> None:
    loop = "opt = torch.optim.Adam([w, u])\nfor i in range({}):\n    opt.zero_grad()\n    w.sum().backward()\n    opt.step()\n"
    (finding,) = findings(TWO + loop.format(5))
    assert (finding.code, finding.severity, finding.line) == ("unused-parameter", "note", 3)
    assert finding.message == "`Adam` was given `u`, but no `backward()` of this run reaches it."
    (finding,) = findings(TWO + loop.format(1))
    assert finding.message == "`Adam` was given `u`, but the only `backward()` of this run does not reach it."
    assert finding.why.startswith("The run is too short to be sure")
    (finding,) = findings(TWO + loop.format(2))
    assert (finding.code, finding.severity) == ("unused-parameter", "note")
    (finding,) = findings(TWO + "opt = torch.optim.SGD([w, u], lr=0.1)\nw.sum().backward()\n")
    assert (finding.code, finding.line) == ("unused-parameter", 3)
    assert findings(TWO + "opt = torch.optim.SGD([w, u], lr=0.1)\n" + STEPS_BY_HAND) == []
    later = "(w ** 2 + u).sum().backward()\n"
    assert findings(TWO + loop.format(5) + later) == []


def test_a_layer_that_forward_does_not_use_is_noted() -> None:
    text = (
        "import torch\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.first, self.second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)\n    def forward(self, x):\n"
        "        return self.first(x)\ndef main():\n    net = Net()\n    opt = torch.optim.SGD(net.parameters(), lr=0.1)\n"
        "    for step in range(4):\n        opt.zero_grad()\n        net(torch.ones(1, 2)).pow(2).sum().backward()\n"
        "        opt.step()\nmain()\n"
    )
    (finding,) = findings(text)
    names = "`net.second.weight` and `net.second.bias`"
    assert finding.message == f"`SGD` was given {names}, but no `backward()` of this run reaches them."


USED = {
    "frozen": "u.requires_grad_(False)\nopt = torch.optim.SGD([w, u], lr=0.1)\nfor i in range(5):\n"
    "    (w ** 2).sum().backward()\n    opt.step()\n    opt.zero_grad()",
    "a gradient assigned by hand": "opt = torch.optim.SGD([w, u], lr=0.1)\nfor i in range(5):\n    opt.zero_grad()\n"
    "    (w ** 2).sum().backward()\n    u.grad = torch.ones(2)\n    opt.step()",
    "one of several experts": "experts = [w, u, torch.ones(2, requires_grad=True)]\nopt = torch.optim.SGD(experts, lr=0.1)\n"
    "for i in range(6):\n"
    "    opt.zero_grad()\n    (experts[i % 2] ** 2).sum().backward()\n    opt.step()",
}


@pytest.mark.parametrize("body", USED.values(), ids=USED.keys())
def test_frozen_and_occasionally_used_parameters_are_not_noted(body: str) -> None:
    assert findings(f"{TWO}{body}\n") == []


TWO_NETS = (
    f"{BEGIN}criterion, layer = nn.L1Loss(), nn.Linear(3, 1)\nextra = nn.Linear(4, 3)\n"
    "opt.add_param_group({'params': extra.parameters()})\n"
)
LOST = {
    "a new tensor": ["term = torch.tensor([each ** 2 for each in extra(x).mean(0)]).sum()", "loss = loss + term"],
    "a new parameter": ["w = nn.Parameter(extra(x).mean(0))", "loss = loss + (w ** 2).sum()"],
    "an index": ["best = extra(x).argmax(1)", "loss = loss + best.float().mean()"],
    "detached": ["term = extra(x).detach().pow(2).mean()", "loss = loss + term"],
    "detached, then made a leaf": ["z = extra(x).clone().detach().requires_grad_()", "loss = loss + z.pow(2).mean()"],
    "data": ["term = (extra(x).data ** 2).mean()", "loss = loss + term"],
    "sampled": ["z = torch.distributions.Normal(extra(x), 1.0).sample()", "loss = loss + z.pow(2).mean()"],
    "detached in a dict, for a functional call": [
        "params = {k: p.detach() for k, p in extra.named_parameters()}",
        "loss = loss + torch.func.functional_call(extra, params, (x,)).pow(2).mean()",
    ],
    "detached in a list": [
        "w, b = [p.detach() for p in extra.parameters()]",
        "loss = loss + nn.functional.linear(x, w, b).pow(2).mean()",
    ],
    "data in a loop": [
        "for w in list(extra.parameters())[:1]: loss = loss + (x @ w.data.T).pow(2).mean()",
    ],
    "numbers": ["scale = float(extra(x).mean())", "loss = loss * scale"],
    "no_grad": ["with torch.no_grad():", "    term = extra(x).mean()", "loss = loss + term"],
    "a reentrant checkpoint": ["h = torch.utils.checkpoint.checkpoint(extra, x, use_reentrant=True)", "loss = loss + h.mean()"],
}


LOST |= {
    "only positions": [
        "top, best = extra(x).softmax(1).max(1)",
        "rows = torch.stack([net(x)[best == k].sum() for k in range(3)])",
        "loss = loss + rows.pow(2).mean()",
    ],
    "the positions of a topk": ["best = extra(x).topk(2).indices", "loss = loss + net(x[best[:, 0]]).pow(2).mean()"],
    "the second result of a sort": ["best = torch.sort(extra(x), 1)[1]", "loss = loss + net(x)[best[:, 0]].pow(2).mean()"],
    "data of another tensor": ["net[0].bias.data = extra(x).abs().mean() * torch.ones(8)"],
    "data of another layer": ["layer.weight.data = extra(x[:1]).view(1, 3)", "loss = loss + layer(x[:, :3]).pow(2).mean()"],
    "data, through a name": ["w = extra(x[:1]); layer.weight.data = w.view(1, 3)", "loss = loss + layer(x[:, :3]).mean()"],
    "a loss that is not added": ["second = nn.functional.mse_loss(extra(x), x[:, :3])", "loss = loss + loss"],
    "a loss that is only printed": [
        "aux_loss = nn.functional.cross_entropy(extra(x), x[:, :3].argmax(1))",
        "print(aux_loss.item())",
    ],
    "a loss of its own criterion": ["second = criterion(extra(x), x[:, :3])"],
}
FUNCTIONS = {
    "an argument": ("def term(p):\n    return p.detach().pow(2).mean()\n", "loss = loss + term(extra(x))", "    return p"),
    "one of two results": (
        "def both(v):\n    return net(v), extra(v)\ndef term(p, z):\n    z = z.detach()\n    return (p - z).pow(2).mean()\n",
        "p, z = both(x); loss = loss + term(p, z)",
        "    z = z.detach()",
    ),
    "the result of a module": (
        (
            "class Policy(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.body = extra\n"
            "    def forward(self, v):\n        return torch.distributions.Categorical(logits=self.body(v))\n"
            "policy = Policy()\n"
            "def term(dist):\n    return torch.tensor(dist.log_prob(dist.sample()).tolist()).mean()\n"
        ),
        "loss = loss + term(policy(x))",
        "    return torch.tensor",
    ),
}


@pytest.mark.parametrize(("functions", "lines", "culprit"), FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_a_cut_is_found_through_arguments_and_results(functions: str, lines: str, culprit: str) -> None:
    text = loop(lines, *STEP, begin=TWO_NETS + functions)
    assert codes(text) == [("unused-parameter", line_of(text, culprit))]


HEADS = """\
import torch
from torch import nn
import torch.nn.functional as F
torch.manual_seed(0)
heads = nn.ModuleList(nn.Linear(4, 2) for _ in range(3))
opt = torch.optim.SGD(heads.parameters(), lr=0.1)
x, y = torch.randn(8, 4), torch.randint(2, (8,))
for step in range(4):
    loss = 0.0
"""
OVERWRITTEN = {
    "over layers": "    for head in heads:\n        {add}F.cross_entropy(head(x), y)\n",
    "over results": "    for out in [head(x) for head in heads]:\n        {add}F.cross_entropy(out, y)\n",
    "over indices": "    for index in range(3):\n        {add}F.cross_entropy(heads[index](x), y)\n",
}


@pytest.mark.parametrize("lines", OVERWRITTEN.values(), ids=OVERWRITTEN.keys())
def test_a_loop_that_keeps_only_the_last_loss_is_reported(lines: str) -> None:
    rest = "".join(f"    {line}\n" for line in STEP)
    text = HEADS + lines.format(add="loss = ") + rest
    assert codes(text) == [("unused-parameter", line_of(text, "        loss = "))]
    assert codes(HEADS + lines.format(add="loss = loss + ") + rest) == []
    assert codes(HEADS + lines.format(add="loss += ") + rest) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lines", LOST.values(), ids=LOST.keys())
def test_the_line_that_cuts_parameters_from_the_loss_is_reported(lines: list[str]) -> None:
    text = loop(*lines, *STEP, begin=TWO_NETS)
    assert codes(text) == [("unused-parameter", line_of(text, lines[0]))]


OWN = """\
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = net, nn.Linear(1, 1)
    def forward(self, x):
        return self.head(self.body(x))
model = Model()
opt = torch.optim.Adam(model.parameters())
model.head = nn.Linear(1, 1)
"""
REPLACED = {
    "an item": loop(*STEP, begin=f"{BEGIN}net[2] = nn.Linear(8, 1)\n"),
    "an item, then cleared": loop(*STEP, begin=f"{BEGIN}net[2] = nn.Linear(8, 1)\nopt.zero_grad()\n"),
    "an attribute": loop(*STEP, begin=BEGIN + OWN).replace("(net(x) - y)", "(model(x) - y)"),
    "the whole network": loop(*STEP, begin=f"{BEGIN}net = nn.Sequential(nn.Linear(4, 1))\n"),
    "a copy of the network": loop(*STEP, begin=f"{BEGIN}net = copy.deepcopy(net)\n"),
    "the weight itself": loop(*STEP, begin=f"{BEGIN}net[2].weight = nn.Parameter(torch.ones(1, 8))\n"),
}


@pytest.mark.parametrize("text", REPLACED.values(), ids=REPLACED.keys())
def test_a_layer_replaced_after_the_optimizer_was_made_is_reported(text: str) -> None:
    line = max(
        number for number, each in enumerate(text.splitlines(), 1) if each.startswith(("net[2]", "model.head", "net = "))
    )
    assert codes(text) == [("unused-parameter", line)]


NOT_LOST = {
    "positions beside the values": loop(
        "top, best = extra(x).max(1)", "loss = loss + (top * net(x)[best, 0]).mean()", *STEP, begin=TWO_NETS
    ),
    "the other of two results": loop(
        "kept, other = both(x)",
        "loss = loss + kept.detach().mean()",
        *STEP,
        begin=f"{TWO_NETS}def both(v):\n    return net(v), extra(v)\n",
    ),
    "data that comes from a constant": loop("layer.weight.data = torch.ones(1, 3)", *STEP, begin=TWO_NETS),
    "data of a network that another loss trains": loop(
        "layer.weight.data = extra(x[:1]).detach().view(1, 3)", "loss = loss + extra(x).mean()", *STEP, begin=TWO_NETS
    ),
    "data of a target network": loop(
        "for e, p in zip(extra.parameters(), nn.Linear(4, 3).parameters()): e.data = 0.9 * e.data + 0.1 * p.data",
        *STEP,
        begin=TWO_NETS,
    ),
    "gradients that a setting turns off": loop(
        "with torch.set_grad_enabled(train_extra):",
        "    term = extra(x).mean()",
        "loss = loss + term",
        *STEP,
        begin=f"{TWO_NETS}train_extra = False\n",
    ),
    "a loss of a validation": loop(
        *STEP,
        "print(validate())",
        begin=f"{TWO_NETS}def validate():\n    for part in x.split(8):\n"
        "        loss = nn.functional.mse_loss(extra(part), part[:, :3])\n    return loss.item()\n",
    ),
    "replaced before": loop(*STEP, begin=BEGIN.replace("opt =", "net[2] = nn.Linear(8, 1)\nopt =")),
    "detached on purpose, because the program updates it": loop(
        "target = extra(x).detach()",
        "loss = loss + (target ** 2).mean()",
        *STEP,
        "for e, p in zip(extra.parameters(), nn.Linear(4, 3).parameters()): e.data.lerp_(p.data, 0.1)",
        begin=TWO_NETS,
    ),
    "the network of the targets": loop(
        "goal = target_net(x).detach()",
        "loss = loss + (goal ** 2).mean()",
        *STEP,
        begin=TWO_NETS.replace("extra", "target_net"),
    ),
    "detached in a dict, because the program updates it": loop(
        "params = {k: p.detach() for k, p in extra.named_parameters()}",
        "loss = loss + torch.func.functional_call(extra, params, (x,)).pow(2).mean()",
        *STEP,
        "for e, p in zip(extra.parameters(), nn.Linear(4, 3).parameters()): e.data.lerp_(p.data, 0.1)",
        begin=TWO_NETS,
    ),
    "detached in a dict, and reached by another term": loop(
        "params = {k: p.detach() for k, p in extra.named_parameters()}",
        "loss = loss + torch.func.functional_call(extra, params, (x,)).pow(2).mean() + extra(x).pow(2).mean()",
        *STEP,
        begin=TWO_NETS,
    ),
    "detached in a dict, which no optimizer has": loop(
        "params = {k: p.detach() for k, p in extra.named_parameters()}",
        "loss = loss + torch.func.functional_call(extra, params, (x,)).pow(2).mean()",
        *STEP,
        begin=f"{BEGIN}extra = nn.Linear(4, 3)\n",
    ),
    "a list that is only printed": loop("print(sum(p.detach().sum() for p in extra.parameters()))", *STEP, begin=TWO_NETS),
    "a value that is only printed": loop("print(extra(x).mean().item() > 9)", *STEP, begin=TWO_NETS),
    "a layer that is not used yet": loop(*STEP, begin=TWO_NETS),
    "a metric": loop("print(torch.tensor(net(x).mean().item()) > 9)", *STEP, begin=TWO_NETS),
}


@pytest.mark.parametrize("text", NOT_LOST.values(), ids=NOT_LOST.keys())
def test_parameters_that_are_left_out_on_purpose_get_no_warning(text: str) -> None:
    assert codes(text) == []


@pytest.mark.parametrize(
    ("value", "line"), [("False", "with torch"), ("len([]) > 1", "extra = "), ("False or False", "extra = ")]
)
def test_a_note_names_the_setting_that_turns_gradients_off(value: str, line: str) -> None:
    lines = ("with torch.set_grad_enabled(flag):", "    term = extra(x).mean()", "loss = loss + term", *STEP)
    text = loop(*lines, begin=f"{TWO_NETS}flag = {value}\n")
    (found,) = findings(text)
    number = next(n for n, each in enumerate(text.splitlines(), 1) if line in each)
    assert (found.code, found.severity, found.line) == ("unused-parameter", "note", number)
    assert ("turns gradients off in this run" in found.why) is (value == "False")
