import torch
from torch.autograd.functional import hessian, hvp, jacobian, jvp, vhp, vjp


def f(x, y):
    return (x * y).exp().sum()


def g(x):
    return x ** 3


x, y, v = torch.tensor([0.1, 0.2]), torch.tensor([1.0, -1.0]), torch.tensor([1.0, 2.0])
print(jacobian(g, x), jacobian(g, x, vectorize=True), jacobian(g, x, strategy="forward-mode", vectorize=True))
print(hessian(f, (x, y)))
print(vjp(g, x, v), jvp(g, x, v))
print(hvp(lambda x: g(x).sum(), x, v), vhp(lambda x: g(x).sum(), x, v))
w = torch.tensor([2.0, 3.0], requires_grad=True)
J = jacobian(lambda x: g(x * w), x, create_graph=True)
J.sum().backward()
print(w.grad)
