"""Parameters that no optimizer holds are reported at the line that makes them."""

from __future__ import annotations

import pytest

from ..reported import codes, line_of
from .training_loops import BEGIN, STEP, loop

MODULE = """\
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 4)
        {made}
    def forward(self, x):
        return {use}
net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.05)
"""
LEFT_OUT = {
    "a list": ("self.heads = [nn.Linear(4, 1) for _ in range(2)]", "sum(head(self.body(x)) for head in self.heads)"),
    "a list that grows": (
        "self.heads = []\n        for _ in range(2): self.heads.append(nn.Linear(4, 1))",
        "sum(head(self.body(x)) for head in self.heads)",
    ),
    "a tuple": ("self.heads = tuple(nn.Linear(4, 1) for _ in range(2))", "sum(head(self.body(x)) for head in self.heads)"),
    "a list made before": (
        "layers = []\n        for _ in range(2): layers.append(nn.Linear(4, 1))\n        self.heads = layers",
        "sum(head(self.body(x)) for head in self.heads)",
    ),
    "a dict": (
        "self.heads = {'a': nn.Linear(4, 1), 'b': nn.Linear(4, 1)}",
        "self.heads['a'](x) + self.heads['b'](self.body(x))",
    ),
    "a dict that grows": (
        "self.heads = {}\n        for name in 'ab': self.heads[name] = nn.Linear(4, 1)",
        "self.heads['a'](x) + self.heads['b'](self.body(x))",
    ),
    "a dict that grows by lines": (
        "self.heads = {}\n        self.heads['a'] = nn.Linear(4, 1)",
        "self.heads['a'](self.body(x))",
    ),
    "a dict with numbers as keys": (
        "self.heads = {}\n        for index in range(2): self.heads[index] = nn.Linear(4, 1)",
        "self.heads[0](x) + self.heads[1](self.body(x))",
    ),
    "a tensor": ("self.scale = torch.ones(1, requires_grad=True)", "self.body(x).sum(1, keepdim=True) * self.scale"),
    "a layer made in forward": ("pass", "nn.Linear(4, 1)(self.body(x))"),
}


@pytest.mark.parametrize(("made", "use"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_parameters_that_no_optimizer_holds_are_reported(made: str, use: str) -> None:
    text = loop(*STEP, begin=BEGIN + MODULE.format(made=made, use=use))
    (found,) = codes(text)
    culprit = "return nn.Linear" if made == "pass" else made.splitlines()[-1].strip()
    assert found == ("not-in-optimizer", line_of(text, culprit))


@pytest.mark.parametrize("line", ["net.append(nn.Linear(1, 1))", "net.add_module('head', nn.Linear(1, 1))"])
def test_a_layer_that_is_added_after_the_optimizer_was_made_is_reported(line: str) -> None:
    text = loop(*STEP, begin=f"{BEGIN}{line}\n")
    assert codes(text) == [("not-in-optimizer", line_of(text, line))]


HELD = {
    "a ModuleDict that grows": (
        "self.heads = nn.ModuleDict()\n        for name in 'ab': self.heads[name] = nn.Linear(4, 1)",
        "self.heads['a'](x) + self.heads['b'](self.body(x))",
    ),
    "a registered dict": (
        "self.heads = {}; self.heads['a'] = nn.Linear(4, 1); self.add_module('head', self.heads['a'])",
        "self.heads['a'](self.body(x))",
    ),
    "a dict of results": ("self.seen = {}", "self.seen.setdefault('x', nn.functional.relu)(self.body(x))"),
    "a ModuleList": ("self.heads = nn.ModuleList([nn.Linear(4, 1)])", "sum(head(self.body(x)) for head in self.heads)"),
    "a registered list": (
        "self.heads = [nn.Linear(4, 1)]; self.add_module('head', self.heads[0])",
        "sum(head(self.body(x)) for head in self.heads)",
    ),
    "a parameter": ("self.scale = nn.Parameter(torch.ones(1))", "self.body(x).sum(1, keepdim=True) * self.scale"),
    "a frozen list": (
        "self.heads = [nn.Linear(4, 1).requires_grad_(False)]",
        "sum(head(self.body(x)) for head in self.heads)",
    ),
    "an input that requires a gradient": ("pass", "self.body(x.clone().requires_grad_()).sum(1, keepdim=True)"),
}


@pytest.mark.parametrize(("made", "use"), HELD.values(), ids=HELD.keys())
def test_parameters_that_an_optimizer_holds_are_not_reported(made: str, use: str) -> None:
    assert codes(loop(*STEP, begin=BEGIN + MODULE.format(made=made, use=use))) == []


def test_layers_of_a_single_step_are_not_made_in_each_step() -> None:
    made = "    for _ in range(1):\n        extra = nn.Linear(4, 1)\n"
    text = loop(
        "if step == 0: loss = loss + once()", *STEP, begin=f"{BEGIN}def once():\n{made}    return extra(x).pow(2).mean()\n"
    )
    assert codes(text) == []
    assert codes(text.replace("if step == 0: ", "")) == [("not-in-optimizer", line_of(text, "extra = nn.Linear"))]


def test_a_list_given_to_the_optimizer_separately_is_not_reported() -> None:
    made, use = LEFT_OUT["a list"]
    begin = MODULE.format(made=made, use=use).replace(
        "(net.parameters()", "([*net.parameters(), *(p for h in net.heads for p in h.parameters())]"
    )
    assert codes(loop(*STEP, begin=BEGIN + begin)) == []
