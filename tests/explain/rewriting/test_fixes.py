"""The fix of each rule makes a program train as its corrected twin does, and is not offered where it would not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from tapedeck.explain.registry import RULES

from .fix_proof import prove

pytestmark = pytest.mark.filterwarnings("ignore")


@dataclass(frozen=True)
class Pair:
    """A program with a mistake and its corrected twin, written as one text.

    A line that ends in ``# wrong`` belongs only to the mistake. A line that ends in ``# right`` belongs only to the twin.
    """

    code: str
    name: str
    text: str

    @property
    def mistake(self) -> str:
        return self._without("right")

    @property
    def twin(self) -> str:
        return self._without("wrong")

    def _without(self, mark: str) -> str:
        lines = [line for line in self.text.strip("\n").split("\n") if not line.endswith(f"# {mark}")]
        return "import torch\nfrom torch import nn\ntorch.manual_seed(0)\n" + "\n".join(lines) + "\n"


DATA = "x = torch.linspace(-1, 1, 8).unsqueeze(1)\ny = 2 * x + 0.5\n"
LOOP = "for step in range(4):\n"
LEAF = "w = torch.tensor([1.0, 2.0], requires_grad=True)\n"
SGD = "opt = torch.optim.SGD([w], lr=0.1)\n"
TRAIN = "    opt.zero_grad()\n    loss.backward()\n    opt.step()\n"

PAIRS = [
    # leaf-rebound
    Pair("leaf-rebound", "minus", LEAF + LOOP + """
    loss = ((w - 3) ** 2).sum()
    loss.backward()
    w = w - 0.1 * w.grad  # wrong
    with torch.no_grad():  # right
        w -= 0.1 * w.grad  # right
    w.grad = None  # right
"""),
    Pair("leaf-rebound", "two names", """
w = torch.tensor(1.0, requires_grad=True)
b = torch.tensor(0.0, requires_grad=True)
for step in range(4):
    loss = ((w * 2 + b - 3) ** 2).sum()
    loss.backward()
    w = w - 0.1 * w.grad  # wrong
    b = b - 0.1 * b.grad  # wrong
    with torch.no_grad():  # right
        w -= 0.1 * w.grad  # right
        b -= 0.1 * b.grad  # right
    w.grad = b.grad = None  # right
"""),
    Pair("leaf-rebound", "no_grad", LEAF + LOOP + """
    loss = ((w - 3) ** 2).sum()
    loss.backward()
    with torch.no_grad():
        w = w - 0.1 * w.grad  # wrong
        w -= 0.1 * w.grad  # right
    w.grad = None  # right
"""),
    Pair("leaf-rebound", "clamped", LEAF + LOOP + """
    loss = ((w - 3) ** 2).sum()
    loss.backward()
    w = torch.clamp(w - 0.1 * w.grad, 0, 2)  # wrong
    with torch.no_grad():  # right
        w.copy_(torch.clamp(w - 0.1 * w.grad, 0, 2))  # right
    w.grad = None  # right
"""),
    Pair("leaf-rebound", "items", """
p = [torch.tensor(1.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)]
for step in range(4):
    loss = (p[0] - 3) ** 2 + (p[1] - 1) ** 2
    loss.backward()
    for i in range(2):
        p[i] = p[i] - 0.1 * p[i].grad  # wrong
        with torch.no_grad():  # right
            p[i] -= 0.1 * p[i].grad  # right
        p[i].grad = None  # right
"""),
    Pair("leaf-rebound", "ascent", LEAF + LOOP + """
    reward = -((w - 3) ** 2).sum()
    reward.backward()
    w = w + 0.1 * w.grad  # wrong
    with torch.no_grad():  # right
        w += 0.1 * w.grad  # right
    w.grad = None  # right
"""),
    Pair("leaf-rebound", "in a function", """
def fit():
    w = torch.tensor(3.0, requires_grad=True)
    for step in range(3):
        loss = (w - 1) ** 2
        loss.backward()
        w = w - 0.1 * w.grad  # wrong
        with torch.no_grad():  # right
            w -= 0.1 * w.grad  # right
        w.grad = None  # right
fit()
"""),
    Pair("leaf-rebound", "twice without a loop", LEAF + """
loss = ((w - 3) ** 2).sum()
loss.backward()
w = w - 0.1 * w.grad  # wrong
with torch.no_grad():  # right
    w -= 0.1 * w.grad  # right
w.grad = None  # right
loss = ((w - 3) ** 2).sum()
loss.backward()
"""),
    # grad-accumulated
    Pair("grad-accumulated", "an optimizer", LEAF + SGD + LOOP + """
    loss = ((w - 3) ** 2).sum()
    opt.zero_grad()  # right
    loss.backward()
    opt.step()
"""),
    Pair("grad-accumulated", "two optimizers", """
w = torch.tensor(1.0, requires_grad=True)
b = torch.tensor(0.0, requires_grad=True)
one, other = torch.optim.SGD([w], lr=0.1), torch.optim.Adam([b], lr=0.1)
for step in range(4):
    loss = (w * 2 + b - 3) ** 2
    one.zero_grad()  # right
    other.zero_grad()  # right
    loss.backward()
    one.step()
    other.step()
"""),
    Pair("grad-accumulated", "by hand", LEAF + LOOP + """
    loss = ((w - 3) ** 2).sum()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
        w.grad = None  # right
"""),
    Pair("grad-accumulated", "a loop over parameters", DATA + """
net = nn.Linear(1, 1)
for step in range(4):
    loss = ((net(x) - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        for p in net.parameters():
            p -= 0.1 * p.grad
            p.grad = None  # right
"""),
    Pair("grad-accumulated", "two names by hand", """
w = torch.tensor(1.0, requires_grad=True)
b = torch.tensor(0.0, requires_grad=True)
for step in range(4):
    loss = (w * 2 + b - 7) ** 2
    loss.backward()
    with torch.no_grad():
        w -= 0.02 * w.grad
        b -= 0.02 * b.grad
        w.grad = b.grad = None  # right
"""),
    Pair("grad-accumulated", "a model and Adam", DATA + """
net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
opt = torch.optim.Adam(net.parameters(), lr=0.05)
for step in range(4):
    loss = ((net(x) - y) ** 2).mean()
    opt.zero_grad()  # right
    loss.backward()
    opt.step()
"""),
    Pair("grad-accumulated", "in a function", """
def step(w, opt):
    loss = ((w - 3) ** 2).sum()
    opt.zero_grad()  # right
    loss.backward()
    opt.step()
w = torch.tensor([1.0, 2.0], requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1)
for i in range(4):
    step(w, opt)
"""),
    *(
        Pair("grad-accumulated", f"a closure of {name}", f"""
w = torch.tensor([1.0, 2.0], requires_grad=True)
opt = torch.optim.{name}([w], lr=0.1{options})
def closure():
    loss = ((w - 3) ** 2).sum()
    opt.zero_grad()  # right
    loss.backward()
    return loss
for step in range(3):
    opt.step(closure)
""")
        for name, options in (("LBFGS", ", max_iter=3"), ("SGD", ""), ("Adam", ""))
    ),
    *(
        Pair("grad-accumulated", f"a closure whose gradients are cleared {where}", DATA + f"""
net = nn.Linear(1, 1)
opt = torch.optim.LBFGS(net.parameters(), lr={rate}, max_iter={calls}{search})
{setup}def closure():
    loss = {loss}
    opt.zero_grad()  # right
    loss.backward()
    return loss
for step in range(3):
{step}
""")
        for where, rate, calls, search, setup, loss, step in (
            ("before the step", 0.5, 4, "", "", "((net(x) - y) ** 2).mean()", "    opt.zero_grad()\n    opt.step(closure)"),
            ("after the step", 0.1, 3, "", "", "((net(x) - y) ** 2).mean()", "    opt.step(closure)\n    opt.zero_grad()"),
            ("by the model", 0.2, 5, "", "", "(net(x) - y).abs().mean()", "    net.zero_grad()\n    opt.step(closure)"),
            ("to zeros", 0.3, 4, "", "", "((net(x) - y) ** 2).sum()",
             "    opt.zero_grad(set_to_none=False)\n    opt.step(closure)"),
            ("before a line search", 1, 4, ", line_search_fn='strong_wolfe'", "", "((net(x) - y) ** 2).mean()",
             "    opt.zero_grad()\n    opt.step(closure)"),
            ("and whose loss is kept", 0.5, 3, "", "losses = []\n", "((net(x) - y) ** 2).mean()",
             "    opt.zero_grad()\n    loss = opt.step(closure)\n    losses.append(loss.item())"),
            ("before a lambda", 0.5, 4, "", "", "((net(x) - y) ** 2).mean()",
             "    opt.zero_grad()\n    opt.step(lambda: closure())"),
        )
    ),
    Pair("grad-accumulated", "a closure in a function", DATA + """
def train(net, steps):
    opt = torch.optim.LBFGS(net.parameters(), lr=0.4, max_iter=4)
    for step in range(steps):
        def closure():
            loss = ((net(x) - y) ** 2).mean()
            opt.zero_grad()  # right
            loss.backward()
            return loss
        opt.zero_grad()
        opt.step(closure)
net = nn.Linear(1, 1)
train(net, 3)
"""),
    # requires-grad-late
    Pair("requires-grad-late", "a call", """
w = torch.tensor(3.0)
w.requires_grad_()  # right
b = torch.tensor(1.0, requires_grad=True)
y = w * 2 + b
w.requires_grad_()  # wrong
(y ** 2).backward()
"""),
    Pair("requires-grad-late", "a flag", """
w = torch.tensor(3.0)
w.requires_grad = True  # right
b = torch.tensor(1.0, requires_grad=True)
y = w * 2 + b
w.requires_grad = True  # wrong
(y ** 2).backward()
"""),
    Pair("requires-grad-late", "an error", """
w = torch.ones(3)
w.requires_grad_()  # right
loss = (w * 2).sum()
w.requires_grad_()  # wrong
loss.backward()
"""),
    Pair("requires-grad-late", "in a function", """
def run():
    w = torch.ones(3)
    w.requires_grad_()  # right
    loss = (w ** 2).sum()
    w.requires_grad_()  # wrong
    loss.backward()
    return w
w = run()
"""),
    Pair("requires-grad-late", "in two lines", """
w = torch.ones(3)
w.requires_grad_()  # right
h = w.exp()
loss = h.sum()
w.requires_grad_()  # wrong
loss.backward()
"""),
    Pair("requires-grad-late", "before training", """
w = torch.tensor([1.0, 2.0])
w.requires_grad_()  # right
b = torch.zeros(2, requires_grad=True)
y = w * 3 + b
w.requires_grad_()  # wrong
loss = (y ** 2).sum()
loss.backward()
with torch.no_grad():
    b -= 0.1 * b.grad
"""),
    # non-leaf-grad
    *(
        Pair("non-leaf-grad", name, f"x = torch.ones(3, requires_grad=True)\n{line}\n{keep}  # right\n{use}")
        for name, line, keep, use in [
            ("a product", "y = x * 2", "y.retain_grad()", "y.sum().backward()\nprint(y.grad)"),
            ("an activation", "h = torch.tanh(x)", "h.retain_grad()", "(h ** 2).sum().backward()\nprint(h.grad.norm())"),
            ("a layer", "h = nn.Linear(3, 2)(x)", "h.retain_grad()", "h.pow(2).sum().backward()\nprint(h.grad)"),
            ("a view", "h = x.view(3, 1)", "h.retain_grad()", "(h * 3).sum().backward()\nprint(h.grad)"),
        ]
    ),
    Pair("non-leaf-grad", "in a loop", """
x = torch.ones(3, requires_grad=True)
for i in range(3):
    y = x * 2
    y.retain_grad()  # right
    y.sum().backward()
    print(y.grad)
"""),
    Pair("non-leaf-grad", "a scaled leaf", """
w = torch.ones(2, requires_grad=True) * 0.1  # wrong
w = (torch.ones(2) * 0.1).requires_grad_()  # right
loss = (w ** 2).sum()
loss.backward()
print(w.grad)
"""),
    Pair("non-leaf-grad", "a leaf of another dtype", """
w = torch.ones(2, requires_grad=True).double()  # wrong
w = torch.ones(2).double().requires_grad_()  # right
loss = (w ** 2).sum()
loss.backward()
print(w.grad)
"""),
    Pair("non-leaf-grad", "a scaled leaf in a loop", """
w = torch.ones(2, requires_grad=True) * 0.1  # wrong
w = (torch.ones(2) * 0.1).requires_grad_()  # right
for step in range(3):
    loss = ((w - 1) ** 2).sum()
    loss.backward()
    with torch.no_grad():
        if w.grad is not None:
            w -= 0.1 * w.grad
            w.grad = None
"""),
    # non-leaf-parameter
    *(
        Pair("non-leaf-parameter", name, f"{before}w = {wrong}  # wrong\nw = {right}  # right\n{SGD}{LOOP}"
             f"    loss = ((w - 1) ** 2).sum()\n{TRAIN}")
        for name, before, wrong, right in [
            ("scaled", "", "torch.randn(3, requires_grad=True) * 0.01", "(torch.randn(3) * 0.01).requires_grad_()"),
            ("divided", "n = 4\n", "torch.randn(3, requires_grad=True) / n", "(torch.randn(3) / n).requires_grad_()"),
            ("of another dtype", "", "torch.randn(3, requires_grad=True).double()", "torch.randn(3).double().requires_grad_()"),
            ("reshaped", "", "torch.randn(4, requires_grad=True).view(2, 2)", "torch.randn(4).view(2, 2).requires_grad_()"),
            ("a parameter", "", "nn.Parameter(torch.randn(3)) * 0.01", "nn.Parameter(torch.randn(3) * 0.01)"),
            ("by a call", "", "torch.randn(3).requires_grad_() + 0.5", "(torch.randn(3) + 0.5).requires_grad_()"),
            ("around a start", "m = torch.ones(3)\n", "m + torch.randn(3, requires_grad=True) * 0.1",
             "(m + torch.randn(3) * 0.1).requires_grad_()"),
        ]
    ),
    # data-update
    *(
        Pair("data-update", name, f"{LEAF}{LOOP}    loss = ((w - 3) ** 2).sum()\n    loss.backward()\n    {wrong}  # wrong\n"
             f"    with torch.no_grad():  # right\n        {right}  # right\n    w.grad = None\n")
        for name, wrong, right in [
            ("minus", "w.data -= 0.1 * w.grad", "w -= 0.1 * w.grad"),
            ("a new tensor", "w.data = w.data - 0.1 * w.grad", "w -= 0.1 * w.grad"),
            ("a method", "w.data.sub_(0.1 * w.grad.data)", "w.sub_(0.1 * w.grad)"),
            ("clamped", "w.data = torch.clamp(w.data - 0.1 * w.grad, 0, 2)", "w.copy_(torch.clamp(w - 0.1 * w.grad, 0, 2))"),
            ("a method with alpha", "w.data.add_(w.grad.data, alpha=-0.1)", "w.add_(w.grad, alpha=-0.1)"),
            ("an item", "w.data[0] -= 0.1 * w.grad[0]", "w[0] -= 0.1 * w.grad[0]"),
        ]
    ),
    # broadcast-both
    *(
        Pair("broadcast-both", name, f"{DATA}y = y.squeeze(1)\nnet = nn.Linear(1, 1)\n"
             f"opt = torch.optim.SGD(net.parameters(), lr=0.1)\n{LOOP}    pred = net(x)\n    loss = {wrong}  # wrong\n"
             f"    loss = {right}  # right\n{TRAIN}")
        for name, wrong, right in [
            ("a difference", "((pred - y) ** 2).mean()", "((pred.squeeze(-1) - y) ** 2).mean()"),
            ("the other way round", "((y - pred) ** 2).mean()", "((y - pred.squeeze(-1)) ** 2).mean()"),
            ("mse_loss", "nn.functional.mse_loss(pred, y)", "nn.functional.mse_loss(pred.squeeze(-1), y)"),
            ("absolute", "(pred - y).abs().mean()", "(pred.squeeze(-1) - y).abs().mean()"),
            ("l1_loss", "nn.functional.l1_loss(pred, y)", "nn.functional.l1_loss(pred.squeeze(-1), y)"),
            ("a sum", "(pred - y).pow(2).sum() / 8", "(pred.squeeze(-1) - y).pow(2).sum() / 8"),
        ]
    ),
    # no-grad-path
    *(
        Pair("no-grad-path", name, f"x = torch.ones(2)\n{LEAF}{SGD}{LOOP}{body}{TRAIN}")
        for name, body in [
            ("a detached loss",
             "    loss = ((w - x) ** 2).sum().detach()  # wrong\n    loss = ((w - x) ** 2).sum()  # right\n"),
            ("a copied loss", "    l = ((w - x) ** 2).sum()\n    loss = torch.tensor(l)  # wrong\n    loss = l  # right\n"),
            ("a detached output",
             "    p = (w * x).detach()  # wrong\n    p = w * x  # right\n    loss = ((p - 4) ** 2).sum()\n"),
            ("data", "    p = w.data * x  # wrong\n    p = w * x  # right\n    loss = ((p - 4) ** 2).sum()\n"),
            ("item", "    loss = ((w - x) ** 2).sum().item()  # wrong\n    loss = ((w - x) ** 2).sum()  # right\n"),
            ("a copied number",
             "    l = ((w - x) ** 2).sum()\n    loss = torch.tensor(l.item())  # wrong\n    loss = l  # right\n"),
            ("item of a loss that is also kept", """    loss = ((w - x) ** 2).sum().item()  # wrong
    kept = [loss]  # wrong
    loss = ((w - x) ** 2).sum()  # right
    kept = [loss.item()]  # right
    rounded = round(kept[0], 3)
"""),
            ("data of a loss that is also summed", """    loss = ((w - x) ** 2).sum().data  # wrong
    total = 0 if step == 0 else total + loss  # wrong
    loss = ((w - x) ** 2).sum()  # right
    total = 0 if step == 0 else total + loss.detach()  # right
    array = torch.as_tensor(total).numpy()
"""),
            ("item of a loss that is also compared", """    best = 99.0 if step == 0 else best
    loss = ((w - x) ** 2).sum().item()  # wrong
    best = min(best, loss)  # wrong
    loss = ((w - x) ** 2).sum()  # right
    best = min(best, loss.item())  # right
    text = f"{loss:.3f} {best + 1}"
"""),
        ]
    ),
    # not-scalar
    *(
        Pair("not-scalar", name, f"x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)\ny = {value}\n"
             f"{root}.backward()  # wrong\n{root}.sum().backward()  # right\n")
        for name, value, root in [
            ("a product", "x * 2", "y"),
            ("an expression", "x ** 2", "(y + 1)"),
            ("a function", "torch.sin(x)", "y"),
            ("a layer", "nn.Linear(3, 4)(x)", "y"),
            ("a matrix", "x.unsqueeze(1) * x", "y"),
            ("an item", "x * x", "y[1:]"),
        ]
    ),
    # integer-grad
    *(
        Pair("integer-grad", name, f"{before}w = {wrong}  # wrong\nw = {right}  # right\n{after}{LOOP}"
             "    loss = ((w - 1.5) ** 2).sum()\n    loss.backward()\n    with torch.no_grad():\n        w -= 0.1 * w.grad\n"
             "    w.grad = None\n")
        for name, before, wrong, right, after in [
            ("a list", "",
             "torch.tensor([1, 2, 3], requires_grad=True)", "torch.tensor([1.0, 2.0, 3.0], requires_grad=True)", ""),
            ("a number", "", "torch.tensor(3, requires_grad=True)", "torch.tensor(3.0, requires_grad=True)", ""),
            ("a range", "", "torch.arange(4, requires_grad=True)", "torch.arange(4.0, requires_grad=True)", ""),
            ("full", "", "torch.full((2,), 3, requires_grad=True)", "torch.full((2,), 3.0, requires_grad=True)", ""),
            ("a dtype", "", "torch.tensor([1.0], dtype=torch.int64, requires_grad=True)",
             "torch.tensor([1.0], dtype=torch.float32, requires_grad=True)", ""),
            ("a nested list", "", "torch.tensor([[1, 2], [3, 4]], requires_grad=True)",
             "torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)", ""),
            ("another one below", "",
             "torch.tensor([1, 2], requires_grad=True)", "torch.tensor([1.0, 2.0], requires_grad=True)",
             "b = torch.tensor(0, requires_grad=True)  # wrong\nb = torch.tensor(0.0, requires_grad=True)  # right\n"),
        ]
    ),
    # saved-modified
    *(
        Pair("saved-modified", name, f"{LEAF}{SGD}{LOOP}    h = {value}\n    {wrong}  # wrong\n    {right}  # right\n"
             f"    loss = ((h - 1) ** 2).mean()\n{TRAIN}")
        for name, value, wrong, right in [
            ("plus", "torch.exp(w)", "h += 1", "h = h + 1"),
            ("times", "torch.sigmoid(w)", "h *= 2", "h = h * 2"),
            ("a method", "torch.tanh(w)", "h.mul_(3)", "h = h.mul(3)"),
            ("minus", "w.exp()", "h -= w", "h = h - w"),
            ("divided", "torch.sqrt(w.abs() + 1)", "h /= 2", "h = h / 2"),
            ("clamped", "torch.exp(w)", "h.clamp_(max=4)", "h = h.clamp(max=4)"),
            ("a power", "torch.sigmoid(w)", "h **= 2", "h = h ** 2"),
        ]
    ),
    # inplace-on-leaf: updates
    *(
        Pair("inplace-on-leaf", name, f"{before}{LOOP}{body}")
        for name, before, body in [
            ("an update", LEAF, """    loss = ((w - 3) ** 2).sum()
    loss.backward()
    w -= 0.1 * w.grad  # wrong
    with torch.no_grad():  # right
        w -= 0.1 * w.grad  # right
    w.grad = None  # right
"""),
            ("an update that is cleared", LEAF, """    loss = ((w - 3) ** 2).sum()
    loss.backward()
    w -= 0.1 * w.grad  # wrong
    with torch.no_grad():  # right
        w -= 0.1 * w.grad  # right
    w.grad.zero_()
"""),
            ("two updates", "w = torch.tensor(1.0, requires_grad=True)\nb = torch.tensor(0.0, requires_grad=True)\n", """
    loss = (w * 2 + b - 3) ** 2
    loss.backward()
    w -= 0.1 * w.grad  # wrong
    b -= 0.1 * b.grad  # wrong
    with torch.no_grad():  # right
        w -= 0.1 * w.grad  # right
        b -= 0.1 * b.grad  # right
    w.grad = b.grad = None  # right
"""),
            ("updates in turns of straight code", LEAF, """    pass
loss = ((w - 3) ** 2).sum()
loss.backward()
w -= 0.1 * w.grad  # wrong
with torch.no_grad():  # right
    w -= 0.1 * w.grad  # right
w.grad = None  # right
loss = ((w - 3) ** 2).sum()
loss.backward()
"""),
            ("a method", LEAF, """    loss = ((w - 3) ** 2).sum()
    loss.backward()
    w.sub_(0.1 * w.grad)  # wrong
    with torch.no_grad():  # right
        w.sub_(0.1 * w.grad)  # right
    w.grad = None  # right
"""),
            ("parameters", f"{DATA}net = nn.Linear(1, 1)\n", """    loss = ((net(x) - y) ** 2).mean()
    loss.backward()
    for p in net.parameters():
        p -= 0.1 * p.grad  # wrong
        with torch.no_grad():  # right
            p -= 0.1 * p.grad  # right
        p.grad = None  # right
"""),
            ("by a name of the gradient", LEAF, """    loss = ((w - 3) ** 2).sum()
    loss.backward()
    g = w.grad
    w -= 0.1 * g  # wrong
    with torch.no_grad():  # right
        w -= 0.1 * g  # right
    w.grad = None  # right
"""),
            # computations
            ("an expanded parameter", "base = nn.Parameter(torch.zeros(3))\nopt = torch.optim.SGD([base], lr=0.1)\n", f"""
    h = base.expand(4, 3)
    h += torch.arange(4.0).unsqueeze(1)  # wrong
    h = h + torch.arange(4.0).unsqueeze(1)  # right
    loss = (h - 1).pow(2).mean()
{TRAIN}"""),
            ("a view of a parameter", "base = nn.Parameter(torch.zeros(3))\nopt = torch.optim.SGD([base], lr=0.1)\n", f"""
    h = base.view(1, 3)
    h += torch.tensor([[1.0, 2.0, 3.0]])  # wrong
    h = h + torch.tensor([[1.0, 2.0, 3.0]])  # right
    loss = (h - 1).pow(2).mean()
{TRAIN}    print(step, base.tolist())
"""),
            ("a method of a view", "base = nn.Parameter(torch.ones(4))\nopt = torch.optim.SGD([base], lr=0.1)\n", f"""
    h = base.reshape(2, 2)
    h.mul_(2)  # wrong
    h = h.mul(2)  # right
    loss = (h - 1).pow(2).mean()
{TRAIN}"""),
            ("an expanded result", f"{LEAF}{SGD}", f"""
    h = (w * 2).expand(3, 2)
    h += torch.arange(3.0).unsqueeze(1)  # wrong
    h = h + torch.arange(3.0).unsqueeze(1)  # right
    loss = (h - 1).pow(2).mean()
{TRAIN}"""),
            ("a row of a parameter", "base = nn.Parameter(torch.ones(2, 3))\nopt = torch.optim.SGD([base], lr=0.1)\n", f"""
    h = base[0]
    h -= 3  # wrong
    h = h - 3  # right
    loss = h.pow(2).sum()
{TRAIN}"""),
            ("a transposed parameter", "base = nn.Parameter(torch.ones(2, 3))\nopt = torch.optim.SGD([base], lr=0.1)\n", f"""
    h = base.t()
    h *= 2  # wrong
    h = h * 2  # right
    loss = (h - 1).pow(2).sum()
{TRAIN}"""),
        ]
    ),
    # misspelled-attribute
    *(
        Pair("misspelled-attribute", name, f"""
{DATA}net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))
for p in net[0].parameters():
    p.{name} = False  # wrong
    p.requires_grad = False  # right
opt = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
{LOOP}    loss = ((net(x) - y) ** 2).mean()
{TRAIN}""")
        for name in (
            "require_grad", "requires_grads", "required_grad", "requires_Grad", "requiresgrad", "reqiures_grad", "requires_gard"
        )
    ),
    *(
        Pair("misspelled-attribute", f"{name} of a leaf", f"""
{DATA}w = torch.zeros(1, requires_grad=True)
{LOOP}    loss = ((w * x - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.{name} = None  # wrong
    w.grad = None  # right
""")
        for name in ("grads", "gard", "grda")
    ),
    *(
        Pair("misspelled-attribute", f"{name} of each parameter", f"""
{DATA}net = nn.Linear(1, 1)
{LOOP}    for p in net.parameters():
        p.{name} = None  # wrong
        p.grad = None  # right
    loss = ((net(x) - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        for p in net.parameters():
            p -= 0.1 * p.grad
""")
        for name in ("grads", "gard", "drag")
    ),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.code}: {pair.name}")
def test_a_fixed_program_trains_as_its_corrected_twin(pair: Pair) -> None:
    prove(pair.code, pair.mistake, pair.twin)


def test_each_fix_is_proved_on_at_least_six_programs() -> None:
    offering = set()
    for code, rule in RULES.items():
        module = rule.recording or rule.failure
        assert module is not None
        text = Path(str(module.__file__)).read_text()  # type: ignore[union-attr]
        if re.search(r"\bfix\b *=|model\.Fix\(", text):
            offering.add(code)
    counts = {code: sum(pair.code == code for pair in PAIRS) for code in offering}
    assert min(counts.values()) >= 6, counts
