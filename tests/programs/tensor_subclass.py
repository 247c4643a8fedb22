import torch
from torch import nn


class Named(torch.Tensor):
    """Counts what is called on it."""

    calls = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.calls.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs or {})


class Scaled(nn.Parameter):
    pass


class Duck:
    """Not a tensor, but takes part in torch's calls."""

    def __init__(self, value):
        self.value = value

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        args = [a.value if isinstance(a, Duck) else a for a in args]
        return func(*args, **(kwargs or {}))


x = torch.tensor([1.0, 2.0]).as_subclass(Named)
w = Scaled(torch.tensor([0.5, -0.5]))
y = torch.add(Duck(w * 2), x)
loss = (y * w).sum()
loss.backward()
print(type(y).__name__, w.grad, Named.calls)
