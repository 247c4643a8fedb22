"""Exceptions of optimizers, of vmap and losses are explained; similar exceptions are not."""

from __future__ import annotations

import pytest

from ..reported import findings

BEGIN = "import torch\nimport torch.nn.functional as F\nfrom torch import nn\nx, net = torch.ones(4, 3), nn.Linear(3, 2)\n"
LOST = "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        {line}  # here\nnet = Net()\n"
SGD = "opt = torch.optim.SGD({given}, lr=0.1)  # here\n"
BATCHED = "def f(v):\n    out = torch.zeros(3)\n    {write}  # here\n    return out\ntorch.func.vmap(f)(torch.ones(5, 3))\n"

REFUSED = {
    "optimizer-refused": {
        "a list of layers": LOST.format(line="self.layers = [nn.Linear(3, 2)]")
        + SGD.format(given="net.parameters()").replace("  # here", ""),
        "a dict of layers": LOST.format(line="self.heads = {'a': nn.Linear(3, 2)}")
        + SGD.format(given="net.parameters()").replace("  # here", ""),
        "a layer without parameters": SGD.format(given="nn.ReLU().parameters()"),
        "a generator that was read": "weights = net.parameters()\nprint(sum(w.numel() for w in weights))  # here\n"
        + SGD.format(given="weights").replace("  # here", ""),
        "a tensor": "w = torch.ones(2, requires_grad=True)\n" + SGD.format(given="w"),
        "a module": SGD.format(given="net"),
        "a list of modules": SGD.format(given="[net, nn.Linear(2, 2)]"),
        "a method": SGD.format(given="net.parameters"),
        "names": SGD.format(given="net.state_dict()"),
        "two groups": SGD.format(given="[{'params': net.parameters()}, {'params': [net.weight]}]"),
        "a negative learning rate": "opt = torch.optim.Adam(net.parameters(), lr=-1.0)  # here\n",
    },
    "vmap-in-place": {
        "an item": BATCHED.format(write="out[0] = v[0] ** 2"),
        "a copy": BATCHED.format(write="out.copy_(v * 2)"),
        "a sum": BATCHED.format(write="out += v"),
    },
    "complex-loss": {
        "a sum": "w = torch.ones(3, dtype=torch.cfloat, requires_grad=True)\n(w * w).sum().backward()  # here\n",
        "a transform": "w = torch.ones(3, requires_grad=True)\nloss = torch.fft.fft(w).sum()\nloss.backward()  # here\n",
        "a gradient": "w = torch.ones(3, dtype=torch.cfloat, requires_grad=True)\ntorch.autograd.grad(w.sum(), w)  # here\n",
    },
    "target-dtype": {
        "classes as floats": "F.cross_entropy(net(x), torch.zeros(4)).backward()  # here\n",
        "classes as floats for nll_loss": "F.nll_loss(net(x).log_softmax(1), torch.zeros(4))  # here\n",
        "booleans": "loss = F.binary_cross_entropy_with_logits(net(x), torch.ones(4, 2) > 0)  # here\n",
    },
}
PROGRAMS = {f"{code}: {name}": (code, BEGIN + text) for code, texts in REFUSED.items() for name, text in texts.items()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("code", "text"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_refusal_is_explained_at_the_line_to_change(code: str, text: str) -> None:
    line = next(number for number, each in enumerate(text.splitlines(), 1) if each.endswith("# here"))
    assert [(each.code, each.line) for each in findings(text) if each.severity == "error"] == [(code, line)]


OTHERS = {
    "another object that is not iterable": "for w in net:\n    pass\n",
    "a shape that does not match outside of vmap": "torch.ones(3).add_(torch.ones(2, 3))\n",
    "another refusal of vmap": "torch.func.vmap(lambda v: v.sum().item())(torch.ones(5, 3))\n",
    "booleans without a loss": "torch.ones(2).bool() - torch.ones(2).bool()\n",
    "a dtype without a loss": "nn.Embedding(3, 2)(torch.ones(2))\n",
    "an invalid option of the program": "raise ValueError('Learning rate must fall')\n",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS.keys())
def test_other_exceptions_are_not_explained(text: str) -> None:
    assert [each.code for each in findings(BEGIN + text) if each.code in REFUSED] == []


ACCEPTED = {
    "named parameters": "torch.optim.SGD(net.named_parameters(), lr=0.1)\n",
    "groups": "torch.optim.SGD([{'params': [net.weight]}, {'params': [net.bias], 'lr': 0.2}], lr=0.1)\n",
    "a batched buffer": BATCHED.format(write="pass").replace("torch.zeros(3)", "torch.zeros_like(v)"),
    "an absolute value": "w = torch.ones(3, dtype=torch.cfloat, requires_grad=True)\nw.abs().sum().backward()\n",
    "probabilities of classes": "F.cross_entropy(net(x), torch.ones(4, 2) / 2).backward()\n",
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_pytorch_accepts_is_not_reported(text: str) -> None:
    assert [each.code for each in findings(BEGIN + text) if each.severity == "error"] == []


@pytest.mark.filterwarnings("ignore")
def test_no_statement_is_quoted_for_a_line_with_several() -> None:
    text = f"{BEGIN}w = torch.ones(3, requires_grad=True)\ny = w * 2\ny.register_hook(lambda g: g.mul_(3)); print(1)\n"
    found = [each for each in findings(f"{text}y.sum().backward()\n") if each.code == "inplace-on-leaf"]
    assert [each.message for each in found] == [
        "Line 7 writes to a tensor in which several elements share one memory location."
    ]
