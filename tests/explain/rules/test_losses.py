"""Losses that get the wrong numbers, or that are cut from the parameters, are reported; their corrected twins are not."""

from __future__ import annotations

import pytest

from .test_audit_of_updates import BEGIN, STEP, codes, line_of, loop

CLASSES = """\
import torch
import torch.nn.functional as F
from torch import nn
torch.manual_seed(0)
x, y, labels = torch.randn(16, 4), torch.randint(3, (16,)), torch.randint(2, (16, 1)).float()
net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
one = nn.Linear(4, 1)
opt = torch.optim.SGD([*net.parameters(), *one.parameters()], lr=0.05)
for step in range(3):
    loss = {loss} + 0 * one(x).sum() + 0 * net(x).sum()
    opt.zero_grad()
    loss.backward()
    opt.step()
"""

SOFTMAX_TWICE = {
    "functions": "F.cross_entropy(F.softmax(net(x), dim=1), y)",
    "a module": "nn.CrossEntropyLoss()(nn.Sequential(net, nn.Softmax(dim=1))(x), y)",
    "a sigmoid": "F.binary_cross_entropy_with_logits(torch.sigmoid(one(x)), labels)",
    "by hand": "-torch.log_softmax(net(x).softmax(1), 1)[:, 0].mean()",
}


@pytest.mark.parametrize("loss", SOFTMAX_TWICE.values(), ids=SOFTMAX_TWICE.keys())
def test_a_softmax_before_a_loss_that_applies_one_is_reported(loss: str) -> None:
    assert codes(CLASSES.format(loss=loss)) == [("softmax-twice", 10)]


ONCE = {
    "logits": "F.cross_entropy(net(x), y)",
    "log_softmax, which changes nothing": "F.cross_entropy(net(x).log_softmax(1), y)",
    "a sigmoid and its loss": "F.binary_cross_entropy(torch.sigmoid(one(x)), labels)",
    "attention before the logits": "F.cross_entropy(net(x).softmax(1) @ net[2].weight[:, :3], y)",
    "nll_loss": "F.nll_loss(net(x).log_softmax(1), y)",
    "kl_div": "F.kl_div(net(x).log_softmax(1), torch.rand(16, 3).softmax(1), reduction='batchmean')",
    "kl_div with a target that has a gradient": "F.kl_div(torch.rand(16, 3).log(), net(x).softmax(1), reduction='sum')",
    "kl_div of two that have a gradient": "F.kl_div(net(x + 1).log_softmax(1), net(x).softmax(1), reduction='sum')",
}


@pytest.mark.parametrize("loss", ONCE.values(), ids=ONCE.keys())
def test_a_loss_that_gets_what_it_expects_is_not_reported(loss: str) -> None:
    assert codes(CLASSES.format(loss=loss)) == []


NOT_LOGARITHMS = {
    "probabilities": "F.nll_loss(net(x).softmax(1), y)",
    "logits": "F.nll_loss(10 * net(x), y)",
    "a divergence of probabilities": "F.kl_div(net(x).softmax(1), torch.rand(16, 3).softmax(1), reduction='batchmean')",
    "a divergence of sigmoids": "F.kl_div(torch.sigmoid(net(x)), torch.rand(16, 3), reduction='sum')",
}


@pytest.mark.parametrize("loss", NOT_LOGARITHMS.values(), ids=NOT_LOGARITHMS.keys())
def test_a_loss_of_logarithms_that_gets_other_numbers_is_reported(loss: str) -> None:
    assert ("not-log-probabilities", 10) in codes(CLASSES.format(loss=loss))


LEAVES = {
    "an attribute": ["hits = (net(x) > 0)", "loss = hits.float().mean()", "loss.requires_grad = True"],
    "a method": ["hits = (net(x) > 0)", "loss = hits.float().mean()", "loss.requires_grad_()"],
    "a new tensor": ["value = loss.item()", "loss = torch.tensor(value, requires_grad=True)"],
    "a rounded prediction": ["guess = net(x).long()", "loss = (guess - y).abs().float().mean()", "loss.requires_grad_(True)"],
}


@pytest.mark.parametrize("lines", LEAVES.values(), ids=LEAVES.keys())
def test_a_loss_that_was_made_a_leaf_is_reported(lines: list[str]) -> None:
    text = loop(*lines, *STEP)
    assert [code for code, _ in codes(text)] == ["loss-is-leaf"]
    (_, line), *_ = codes(text)
    assert line is not None
    assert text.splitlines()[line - 1].strip() in lines


COMPUTED = {
    "a leaf from numbers": "import torch\nx = torch.tensor(3.0, requires_grad=True)\nx.backward()\n",
    "a leaf from a list": "import torch\nx = torch.ones(3, requires_grad=True)\nx.backward(torch.ones(3))\n",
    "an input that requires a gradient": loop(*STEP, begin=f"{BEGIN}x.requires_grad_()\n"),
}


@pytest.mark.parametrize("text", COMPUTED.values(), ids=COMPUTED.keys())
def test_a_loss_with_a_graph_and_a_plain_leaf_are_not_reported(text: str) -> None:
    assert codes(text) == []


ROUNDED = {
    "round": "loss = ((net(x).round() - y) ** 2).mean()",
    "sign": "loss = (torch.sign(net(x)) * y).sum() + (y ** 2).sum()",
    "floor": "loss = ((torch.floor(net(x)) - y) ** 2).mean()",
}


@pytest.mark.parametrize("line", ROUNDED.values(), ids=ROUNDED.keys())
def test_gradients_that_a_constant_function_makes_zero_are_reported(line: str) -> None:
    text = loop(line, *STEP)
    assert codes(text) == [("zero-gradient", line_of(text, line))]


PASSED = {
    "straight through": "z = net(x); loss = ((z + (z.round() - z).detach() - y) ** 2).mean()",
    "another way": "z = net(x); loss = ((z.round() + z - y) ** 2).mean()",
    "only printed": "rounded = net(x).round()",
    "a mask": "loss = (net(x) * (net(x) > 0)).mean()",
}


@pytest.mark.parametrize("line", PASSED.values(), ids=PASSED.keys())
def test_gradients_that_pass_in_another_way_are_not_reported(line: str) -> None:
    assert codes(loop(line, *STEP)) == []


PENALTY = """\
import torch
from torch import nn
torch.manual_seed(0)
critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
opt = torch.optim.SGD(critic.parameters(), lr=0.01)
weight = 10.0
for step in range(3):
    x = torch.randn(16, 2, requires_grad=True)
    {grad}
    {rest}
    opt.zero_grad()
    loss.backward()
    opt.step()
"""
GRAD = "g = torch.autograd.grad(critic(x).sum(), x)[0]"
CONSTANT = {
    "a penalty": (GRAD, "penalty = ((g.norm(dim=1) - 1) ** 2).mean()\n    loss = critic(x).mean() + 10 * penalty"),
    "a tuple": (GRAD.replace("g =", "(g,) =").replace("[0]", ""), "p = (g ** 2).sum()\n    loss = critic(x).mean() + p"),
    "a weighed penalty": (GRAD, "penalty = (g ** 2).mean()\n    loss = critic(x).mean() - weight * penalty"),
}


@pytest.mark.parametrize(("grad", "rest"), CONSTANT.values(), ids=CONSTANT.keys())
def test_a_term_without_a_gradient_is_reported_at_the_call_that_cut_it(grad: str, rest: str) -> None:
    assert codes(PENALTY.format(grad=grad, rest=rest)) == [("constant-term", 9)]


VARIABLE = {
    "create_graph": (
        GRAD.replace(", x)", ", x, create_graph=True)"),
        "penalty = ((g.norm(dim=1) - 1) ** 2).mean()\n    loss = critic(x).mean() + 10 * penalty",
    ),
    "an adversarial example": (
        GRAD,
        "attacked = (x + 0.1 * g.sign()).detach()\n    term = critic(attacked).mean()\n    loss = critic(x).mean() + term",
    ),
    "only measured": (GRAD, "norm = g.norm()\n    print(norm > 0)\n    loss = critic(x).mean()"),
}


@pytest.mark.parametrize(("grad", "rest"), VARIABLE.values(), ids=VARIABLE.keys())
def test_a_term_with_a_gradient_is_not_reported(grad: str, rest: str) -> None:
    assert codes(PENALTY.format(grad=grad, rest=rest)) == []


TWO = f"{BEGIN}extra = nn.Linear(4, 3)\nopt.add_param_group({{'params': extra.parameters()}})\n"
LOST = {
    "a new tensor": ["term = torch.tensor([each ** 2 for each in extra(x).mean(0)]).sum()", "loss = loss + term"],
    "a new parameter": ["w = nn.Parameter(extra(x).mean(0))", "loss = loss + (w ** 2).sum()"],
    "an index": ["best = extra(x).argmax(1)", "loss = loss + best.float().mean()"],
    "detached": ["term = extra(x).detach().pow(2).mean()", "loss = loss + term"],
    "detached, then made a leaf": ["z = extra(x).clone().detach().requires_grad_()", "loss = loss + z.pow(2).mean()"],
    "data": ["term = (extra(x).data ** 2).mean()", "loss = loss + term"],
    "sampled": ["z = torch.distributions.Normal(extra(x), 1.0).sample()", "loss = loss + z.pow(2).mean()"],
    "numbers": ["scale = float(extra(x).mean())", "loss = loss * scale"],
    "no_grad": ["with torch.no_grad():", "    term = extra(x).mean()", "loss = loss + term"],
    "a reentrant checkpoint": ["h = torch.utils.checkpoint.checkpoint(extra, x, use_reentrant=True)", "loss = loss + h.mean()"],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lines", LOST.values(), ids=LOST.keys())
def test_the_line_that_cuts_parameters_from_the_loss_is_reported(lines: list[str]) -> None:
    text = loop(*lines, *STEP, begin=TWO)
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
    "replaced before": loop(*STEP, begin=BEGIN.replace("opt =", "net[2] = nn.Linear(8, 1)\nopt =")),
    "detached on purpose, because the program updates it": loop(
        "target = extra(x).detach()",
        "loss = loss + (target ** 2).mean()",
        *STEP,
        "for e, p in zip(extra.parameters(), nn.Linear(4, 3).parameters()): e.data.lerp_(p.data, 0.1)",
        begin=TWO,
    ),
    "the network of the targets": loop(
        "goal = target_net(x).detach()", "loss = loss + (goal ** 2).mean()", *STEP, begin=TWO.replace("extra", "target_net")
    ),
    "a value that is only printed": loop("print(extra(x).mean().item() > 9)", *STEP, begin=TWO),
    "a layer that is not used yet": loop(*STEP, begin=TWO),
    "a metric": loop("print(torch.tensor(net(x).mean().item()) > 9)", *STEP, begin=TWO),
}


@pytest.mark.parametrize("text", NOT_LOST.values(), ids=NOT_LOST.keys())
def test_parameters_that_are_left_out_on_purpose_get_no_warning(text: str) -> None:
    assert codes(text) == []
