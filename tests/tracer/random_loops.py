"""Draw random training loops whose structure, shapes, dtypes, names, hooks and updates change at random steps.

Their syntax is valid, but torch may refuse some of their operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

STEPS = 7

HEAD = """\
import torch
from torch import nn
torch.manual_seed(0)
x = torch.randn(4, 3)
y = torch.randn(4, 2)
w = torch.randn(3, 2, requires_grad=True)
b = torch.zeros(2, requires_grad=True)
kept, total, seen = [], 0.0, 0
model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))
norm = nn.BatchNorm1d(2)
values = torch.arange(12.0).reshape(4, 3)
array = values.numpy()
out = loss = (x @ w).sum()
def act(t):
    u = t.tanh()
    return u * t
"""

FORWARD = (
    "out = x @ w + b",
    "out = (x * 2) @ w",
    "out = model(x)",
    "out = act(x @ w) + b",
    "out = norm(x @ w)",
    "out = nn.functional.linear(x, w.t(), b)",
    "out = torch.stack([row @ w for row in x])",
    "out = (x @ w).view(-1).reshape(-1, 2)",
    "out = values.to(x.dtype) @ w",
)
LOSS = (
    "loss = ((out - y) ** 2).mean()",
    "loss = nn.functional.mse_loss(out, y)",
    "loss = (out - y).abs().sum() / len(x)",
    "loss = nn.functional.cross_entropy(out, y.argmax(1))",
    "loss = out.logsumexp(1).mean() + (w ** 2).sum()",
)
BACKWARD = (
    "loss.backward()",
    "loss.backward()",
    "loss.backward(retain_graph=True)",
    "loss.backward(inputs=[w])",
    "w.grad, = torch.autograd.grad(loss, [w])",
    "(loss * 0.5).backward()",
)
UPDATE = (
    "with torch.no_grad():\n    w -= 0.1 * w.grad",
    "w.data -= 0.1 * w.grad",
    "optimizer.step()",
    "optimizer.step()",
    "w.data.add_(w.grad, alpha=-0.1)",
    "w = (w - 0.1 * w.grad).detach().requires_grad_()",
    "with torch.no_grad():\n    for p in (w, b):\n        if p.grad is not None:\n            p.sub_(0.1 * p.grad)",
)
CLEAR = (
    "w.grad = b.grad = None",
    "optimizer.zero_grad()",
    "optimizer.zero_grad(set_to_none=False)",
    "w.grad = None if step % 3 else w.grad",
    "pass",
    "model.zero_grad()",
)
OPTIMIZERS = (
    "torch.optim.SGD([w, b, *model.parameters()], lr=0.1)",
    "torch.optim.SGD([w, b], lr=0.1, momentum=0.9)",
    "torch.optim.Adam([{'params': [w]}, {'params': [b, *model.parameters()], 'lr': 0.01}])",
    "torch.optim.SGD([w], lr=0.1, foreach=True)",
)
CHANGES = (
    "x, y, values = x[:3], y[:3], values[:3]",
    "x, y = x.double(), y.double()\nw, b = (t.detach().double().requires_grad_() for t in (w, b))",
    "w.register_hook(lambda gradient: gradient * 2)",
    "out.register_hook(lambda gradient: gradient.clamp(-1, 1))",
    "loss.grad_fn.register_hook(lambda gradients, outputs: None)",
    "v = w",
    "w, b = w, b.clone()",
    "b.requires_grad_(False)",
    "w = w.detach().clone().requires_grad_()",
    "kept.append(loss)",
    "kept.append(w.detach())",
    "kept.append(w.grad)",
    "kept.clear()",
    "total += loss.item()",
    "seen = loss",
    "print(step, loss.item())",
    "array[0] = step",
    "values.mul_(0.5)",
    "out = out.relu()",
    "out = out * 1.0",
    "x = x.clone()",
    "y.mul_(0.9)",
    "w.grad.mul_(0.5)",
    "nn.utils.clip_grad_norm_([w], 1.0)",
    "out.retain_grad()",
    "x[0] = 0.0",
    "w.data[0] = float('nan')",
    "w.data = w.data * 0.9",
    "del out",
    "norm.eval()",
    "loss = loss + b.sum()",
    "model = nn.Linear(3, 2)",
    "again = ((x @ w) ** 2).sum()\nagain.backward()",
    "first = w.view(-1)[0]",
    "out += 1.0",
    "out.data.mul_(0.5)",
    "with torch.no_grad():\n    score = (x @ w).sum()",
    "w.grad.numpy()[0] = 1.0",
    "torch.nn.init.zeros_(b)",
    "optimizer.param_groups[0]['lr'] *= 0.5",
    "loss = loss if step % 2 else loss * 2",
    "w._backward_hooks = None",
    "with torch.enable_grad():\n    second = (w ** 2).sum()",
    "y = torch.where(y > 0, y, y * 0.5)",
    "x.requires_grad_()",
    "w.grad = torch.ones_like(w)",
    "def act(t):\n    return t.sigmoid()",
)
WHEN = (*["if step == {at}:"] * 6, "if step >= {at}:", "if step % 2:", "if True:")


class _Loop:
    def __init__(self, draw: Callable[..., Any]) -> None:
        self._draw = draw
        self._lines: list[str] = []

    def one_of(self, choices: Sequence[str]) -> str:
        return str(self._draw(st.sampled_from(choices)))

    def write(self, text: str, indent: str = "    ") -> None:
        self._lines += [indent + line for line in text.splitlines()]

    def change(self, choices: Sequence[str]) -> None:
        """Write a statement that runs at some of the steps only."""
        self.write(self.one_of(WHEN).format(at=self._draw(st.integers(0, STEPS - 1))))
        self.write(self.one_of(choices), "        ")

    def part(self, choices: Sequence[str]) -> None:
        """Write a part of the training step, with a few changes after it."""
        self.write(self.one_of(choices))
        if self._draw(st.booleans()):
            self.change(choices)
        for _ in range(self._draw(st.integers(0, 2))):
            self.change(CHANGES)

    def text(self) -> str:
        clears_first = self._draw(st.booleans())
        if clears_first:
            self.part(CLEAR)
        for part in (FORWARD, LOSS, BACKWARD, UPDATE):
            self.part(part)
        if not clears_first:
            self.part(CLEAR)
        return "\n".join(self._lines)


@st.composite
def loops(draw: Callable[..., Any]) -> str:
    """Return a program that trains in a loop. Where torch refuses an operation, it ends or continues with the next step."""
    body = _Loop(draw).text()
    optimizer = f"optimizer = {draw(st.sampled_from(OPTIMIZERS))}\n"
    head = HEAD + optimizer + f"for step in range({STEPS}):\n"
    if draw(st.integers(0, 3)) == 0:
        return head + body + "\nprint(w.sum())\n"
    caught = "\n".join("    " + line for line in body.splitlines())
    return head + "    try:\n" + caught + "\n    except Exception as error:\n        print(type(error))\nprint(w.sum())\n"
