import torch
@torch.compile(backend="eager")
def f(x):
    y = x * 2
    return y.sum()
x = torch.ones(3, requires_grad=True)
f(x).backward()
print(x.grad)
