"""No fix is offered where it would only silence an error; the finding then says in words what to change."""

from __future__ import annotations

import re

import pytest

from .fix_proof import found

pytestmark = pytest.mark.filterwarnings("ignore")

NOT_OFFERED = {
    "retain_graph for a result of the program's beginning": """
net = nn.Linear(2, 1)
x, y = torch.rand(8, 2), torch.rand(8, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
pred = net(x).tanh()
for step in range(3):
    loss = ((pred - y) ** 2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
""",
    "a row that meets another column": """
mu, s = nn.Linear(3, 1), nn.Linear(3, 1)
x, y = torch.randn(12, 3), torch.randn(12)
diff = y - mu(x)
(diff ** 2 / s(x).exp()).mean().backward()
""",
    "a row that a column is added to": """
net, base = nn.Linear(3, 1), torch.randn(12, 1)
x, y = torch.randn(12, 3), torch.randn(12)
error = net(x) - y
((error + base) ** 2).mean().backward()
""",
    "retain_graph for two calls": "x = torch.ones(3, requires_grad=True)\nl = (x * x).sum()\nl.backward()\nl.backward()\n",
    "allow_unused": """
w = torch.ones(3, requires_grad=True)
part = w[:2]
g = torch.autograd.grad((w ** 2).sum(), part)
""",
    "no_grad for a computation": "w = torch.ones(3, requires_grad=True)\nw += 1\n(w ** 2).sum().backward()\n",
    "no_grad for a view whose base is used later": """
w = torch.ones(3, requires_grad=True)
v = w.view(3, 1)
v += 1
((v * 2).sum() + w.sum()).backward()
""",
    "a new tensor where a list has the old one": """
w = torch.ones(3, requires_grad=True)
h = w.exp()
kept = [h]
h += 1
(kept[0] * h).sum().backward()
""",
    "a new tensor where the name is global": """
w = torch.ones(3, requires_grad=True)
c = torch.ones(3)
def double():
    c.mul_(2)
loss = (w * c).sum()
double()
loss.backward()
""",
    "a sum where an optimizer needs a mean": """
w = torch.ones(3, requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1)
loss = (w - 2) ** 2
loss.backward()
opt.step()
""",
    "a leaf changed in place that a list keeps": """
w = torch.tensor(3.0, requires_grad=True)
path = []
for step in range(3):
    path.append(w)
    loss = (w - 1) ** 2
    loss.backward()
    w = w - 0.1 * w.grad
""",
    "a graph for a tensor that is written in place": """
w = torch.ones(2, requires_grad=True)
p = w.detach()
p *= 2
loss = ((p - 1) ** 2).sum()
loss.backward()
""",
    "a graph for a tensor that becomes an array": """
w = torch.ones(2, requires_grad=True)
p = (w * 2).detach()
array = p.numpy()
loss = ((p - 1) ** 2).sum()
loss.backward()
""",
    "floating-point numbers for an index": """
i = torch.tensor([0, 1], requires_grad=True)
rows = torch.rand(4, 2)[i]
""",
    "floating-point numbers for a mask": "mask = torch.tensor([True, False], requires_grad=True)\n",
    "float32 next to float64": """
w = torch.tensor([1, 2], requires_grad=True)
loss = torch.ones(2, dtype=torch.float64) @ w
""",
    "a gradient for a tensor whose view is written": """
w = torch.zeros(4)
v = w.view(2, 2)
v += 1
loss = (v * 3).sum()
w.requires_grad_()
loss.backward()
""",
    "one zero_grad in a closure with two passes": """
w = torch.ones(2, requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1)
def closure():
    ((w - 3) ** 2).sum().backward()
    penalty = w.abs().sum()
    penalty.backward()
    return penalty
for step in range(3):
    opt.step(closure)
""",
    "a closure that cannot see the optimizer": """
net = nn.Linear(1, 1)
def closure():
    loss = (net(torch.ones(1)) ** 2).sum()
    loss.backward()
    return loss
def train(opt):
    for step in range(2):
        opt.zero_grad()
        opt.step(closure)
train(torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=3))
""",
    "a closure whose pass has a condition": """
net = nn.Linear(1, 1)
opt = torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=3)
def closure():
    loss = (net(torch.ones(1)) ** 2).sum()
    if loss.requires_grad:
        loss.backward()
    return loss
for step in range(2):
    opt.zero_grad()
    opt.step(closure)
""",
    "an update whose gradient is read after the next pass": """
w = torch.ones(3, requires_grad=True)
loss = (w ** 2).sum()
loss.backward()
w -= 0.1 * w.grad
loss = (w ** 2).sum()
loss.backward()
print(w.grad)
""",
    "one of two cuts": """
a = torch.ones(3, requires_grad=True)
p, t = a * 2, a * 3
loss = ((p.detach() - t.detach()) ** 2).sum()
loss.backward()
""",
    "retain_grad for a tensor that is trained": """
x = torch.ones(3, requires_grad=True)
w = x * 2
for step in range(2):
    loss = (w.sum() - 1) ** 2
    loss.backward()
    with torch.no_grad():
        if w.grad is not None:
            w -= 0.1 * w.grad
""",
    "a leaf that is computed from another": """
v = torch.ones(2, requires_grad=True)
w = v * torch.ones(2, requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1)
""",
}


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_a_fix_that_would_only_silence_the_error_is_not_offered(name: str) -> None:
    text = "import torch\nfrom torch import nn\ntorch.manual_seed(0)\n" + NOT_OFFERED[name].lstrip("\n")
    findings = [finding for finding in found(text) if finding.severity in ("error", "warning")]
    assert findings
    assert [finding.fix for finding in findings if finding.fix is not None] == []
    assert all(finding.why for finding in findings)


ONCE = {
    "before the loop": ("""
net = nn.Linear(2, 1)
x, y = torch.rand(8, 2), torch.rand(8, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
pred = net(x).tanh()  # once
for step in range(3):
    loss = ((pred - y) ** 2).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
""", "into the loop on line 8"),
    "before a closure": ("""
net = nn.Linear(2, 1)
x, y = torch.rand(8, 2), torch.rand(8, 1)
opt = torch.optim.LBFGS(net.parameters(), max_iter=5)
pred = net(x)  # once
def closure():
    opt.zero_grad()
    loss = ((pred - y) ** 2).mean()
    loss.backward()
    return loss
for step in range(3):
    opt.step(closure)
""", "into `closure`"),
    "in __init__": ("""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))
        self.scale = self.w.exp()  # once
    def forward(self, x):
        return x * self.scale
net = Net()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(3):
    loss = net(torch.ones(3)).pow(2).sum()
    opt.zero_grad()
    loss.backward()
    opt.step()
""", "to `forward`"),
    "before a loop in a function": ("""
def train(w):
    h = (w * w).sum()  # once
    for step in range(3):
        loss = h * 2
        loss.backward()
train(torch.ones(3, requires_grad=True))
""", "into the loop on line 6"),
    "before a function that trains": ("""
w = torch.ones(3, requires_grad=True)
h = w.exp()  # once
def step():
    loss = (h * 2).sum()
    loss.backward()
step()
step()
""", "into `step`"),
    "a module of the program": ("""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)
    def forward(self, x):
        return self.layer(x).tanh()
net = Net()
x, y = torch.rand(8, 2), torch.rand(8, 1)
pred = net(x)  # once
for step in range(3):
    loss = ((pred - y) ** 2).mean()
    loss.backward()
    print(step, (net(x) - y).norm().item())
""", "into the loop on line 13"),
    "a function of the program": ("""
net = nn.Linear(2, 1)
def l2(module):
    return sum(p.pow(2).sum() for p in module.parameters())
x = torch.rand(8, 2)
penalty = l2(net)  # once
for step in range(3):
    loss = net(x).mean() + penalty
    loss.backward()
""", "into the loop on line 9"),
    "a method that __init__ calls": ("""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.rand(3, 3))
        self.weights = self.normalized()  # once
    def normalized(self):
        return torch.softmax(self.a, 1)
    def forward(self, x):
        return self.weights @ x
net = Net()
def train(x):
    loss = net(x).pow(2).sum()
    loss.backward()
train(torch.ones(3, 1))
train(torch.ones(3, 1))
""", "to `forward`"),
    "a penalty": ("""
net = nn.Linear(2, 1)
x = torch.rand(8, 2)
penalty = net.weight.pow(2).sum()  # once
for step in range(3):
    loss = net(x).mean() + penalty
    loss.backward()
""", "into the loop on line 7"),
}  # fmt: skip


@pytest.mark.parametrize("name", ONCE)
def test_a_line_that_ran_once_is_named_with_the_code_it_belongs_to(name: str) -> None:
    body, where = ONCE[name]
    text = "import torch\nfrom torch import nn\ntorch.manual_seed(0)\n" + body.lstrip("\n")
    line = next(number for number, each in enumerate(text.split("\n"), 1) if each.endswith("# once"))
    (finding,) = [finding for finding in found(text) if finding.severity == "error"]
    assert (finding.code, finding.line, finding.fix) == ("backward-twice", line, None)
    assert finding.message.startswith(f"Line {line} ran only once, but each `backward()`")
    assert f"Move line {line} {where}" in finding.why


def test_a_state_carried_over_is_not_called_a_line_that_ran_once() -> None:
    text = """\
import torch
w = torch.ones(3, requires_grad=True)
h = torch.zeros(3)
for step in range(3):
    h = torch.tanh(h + w)
    h.sum().backward()
"""
    (finding,) = [finding for finding in found(text) if finding.severity == "error"]
    assert "into the previous iteration" in finding.message


def test_a_slice_that_was_made_after_the_result_is_named() -> None:
    text = "import torch\nc = torch.rand(4, 2, requires_grad=True)\nu = (c ** 2).sum()\nx = c[:, 0]\n"
    (finding,) = [each for each in found(f"{text}g = torch.autograd.grad(u, [c, x])\n") if each.severity == "error"]
    assert re.match(r"A gradient is requested for (`x`|one of `c`, `x`), but", finding.message)  # PyTorch 2.10 counts no input
    assert "`c[:, 0]` on line 4 makes a new tensor" in finding.why
    assert "with respect to `c`" in finding.why


def test_only_inputs_that_do_not_require_a_gradient_are_named() -> None:
    start = "import torch\nc = torch.ones(2, requires_grad=True)\nd = torch.ones(2)\ne = torch.ones(2)\nu = (c * d).sum()\n"
    for inputs, named in (("[c, d]", "`d`"), ("(c, d, e)", "one of `d`, `e`"), ("[c, c.detach()]", "`c.detach()`")):
        (finding,) = [each for each in found(f"{start}torch.autograd.grad(u, {inputs})\n") if each.severity == "error"]
        assert finding.message == f"A gradient is requested for {named}, which does not require one."


MEANT_AS_LEAVES = {
    "a list that an update rebuilds": """
ps = [torch.tensor(1.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)]
for step in range(2):
    loss = (ps[0] * ps[1] - 3) ** 2
    loss.backward()
    ps = [p - 0.1 * p.grad for p in ps]
""",
    "a scaled parameter of a module": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(3)) * 0.1
    def forward(self, x):
        return (self.w * x).sum()
net = Net()
net(torch.ones(3)).backward()
print(net.w.grad)
""",
}


@pytest.mark.parametrize("name", MEANT_AS_LEAVES)
def test_retain_grad_is_not_suggested_where_a_leaf_is_meant(name: str) -> None:
    text = "import torch\nfrom torch import nn\n" + MEANT_AS_LEAVES[name].lstrip("\n")
    of_grad = [finding for finding in found(text) if finding.code == "non-leaf-grad"]
    assert of_grad
    assert all("make it a leaf" in finding.why and "retain_grad" not in finding.why for finding in of_grad)


@pytest.mark.parametrize(
    "text",
    [
        "net = nn.Linear(2, 1).requires_grad_(False)\nout = net(torch.ones(2))\nout.backward()\n",
        "w = torch.ones(2, requires_grad=True)\nx = torch.ones(2)\nloss = (x * 2).sum()\nloss.backward()\n",
    ],
)
def test_nothing_is_said_to_require_a_gradient_only_where_nothing_does(text: str) -> None:
    start = "import torch\nfrom torch import nn\n"
    (finding,) = [each for each in found(start + text) if each.code == "no-grad-path"]
    assert "Nothing in this program" not in finding.why
    (finding,) = [
        each for each in found("import torch\nx = torch.ones(2)\nx.sum().backward()\n") if each.code == "no-grad-path"
    ]
    assert "Nothing in this program requires a gradient." in finding.why
