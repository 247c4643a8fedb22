import torch
import torch.nn.functional as F
from torch import fx, nn


@torch.jit.script
def scripted(x):
    return F.relu(x) + F.softmax(x, 0) * F.mse_loss(x, x * 2)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return F.gelu(self.linear(x))


net = torch.jit.script(Net())
x = torch.ones(3, requires_grad=True)
loss = scripted(x).sum() + net(x).sum()
loss.backward()
print(x.grad)

plain = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
traced = torch.jit.trace(plain, torch.ones(1, 3))
traced(torch.ones(1, 3)).sum().backward()
layers = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
symbolic = fx.symbolic_trace(layers)
symbolic(torch.ones(1, 3)).sum().backward()
print(symbolic.code.strip().splitlines()[0])


class Noticed(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        print(func.__name__)
        return super().__torch_function__(func, types, args, kwargs or {})


noticed = torch.ones(2).as_subclass(Noticed).requires_grad_()
seen = F.relu(noticed).sum()
seen.backward()


class Counting(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        print("mode:", func.__name__)
        return func(*args, **(kwargs or {}))


with Counting():
    total = F.mse_loss(F.relu(x), torch.zeros(3))
total.backward()
