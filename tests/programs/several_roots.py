import torch

x = torch.tensor([1.0, 2.0], requires_grad=True)
y = torch.tensor([3.0, 4.0], requires_grad=True)
shared = x * y
a, b = shared ** 2, shared.sum()
torch.autograd.backward([a, b], [torch.tensor([1.0, 0.5]), torch.tensor(2.0)], retain_graph=True)
print(x.grad, y.grad)
a.backward(torch.tensor([1.0, 1.0]), retain_graph=True)  # a vector-Jacobian product
a.backward(gradient=torch.zeros(2), inputs=x, retain_graph=True)
torch.autograd.backward((b, b), retain_graph=True)  # one root twice
print(x.grad, y.grad)
x.grad, y.grad = None, None
b.backward()
leaf = torch.tensor(5.0, requires_grad=True)
leaf.backward()  # a leaf is a root too
torch.autograd.backward([leaf, leaf * 2])
print(x.grad, y.grad, leaf.grad)
