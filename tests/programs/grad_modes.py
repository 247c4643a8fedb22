import torch
from torch import nn

w = torch.tensor([1.0, 2.0], requires_grad=True)
b = torch.zeros(2, requires_grad=True)


@torch.no_grad()
def evaluate(x):
    return (w * x + b).sum()


@torch.inference_mode()
def infer(x):
    y = w * x
    y += b
    return y.sum()


@torch.enable_grad()
def with_grad(x):
    return (w * x).sum()


@torch.set_grad_enabled(False)
def switched(x):
    return w * x


class Frozen(nn.Module):
    @torch.no_grad
    def forward(self, x):
        return x * w


x = torch.tensor([0.5, -1.0])
print(evaluate(x).requires_grad, infer(x).requires_grad, switched(x).requires_grad, Frozen()(x).requires_grad)
for step in range(2):
    with torch.no_grad():
        shadow = w * 2
        with torch.enable_grad():
            inside = w * x + b
        loss = with_grad(x) + inside.pow(2).sum()
    loss = loss.detach() + with_grad(x) + inside.sum()
    loss.backward()
    with torch.no_grad():
        for p in (w, b):
            p -= 0.1 * p.grad
            p.grad = None
train = True
with torch.set_grad_enabled(train):
    kept = (w * 3).sum()
with torch.set_grad_enabled(not train):
    lost = (w * 3).sum()
previous = torch.is_grad_enabled()
torch.set_grad_enabled(False)
also_lost = w + 1
torch.set_grad_enabled(previous)
with torch.inference_mode():
    fast = torch.ones(2)
    with torch.inference_mode(False):
        normal = w * 2
with torch.inference_mode(mode=False):
    kept = kept + normal.sum() + w.clone().mul_(2).sum()
kept.backward()
print(w.grad, lost.requires_grad, also_lost.requires_grad, fast.is_inference())
