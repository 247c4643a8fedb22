import torch
x = torch.tensor(2., requires_grad=True)
y = x ** 4
g, = torch.autograd.grad(y, x, create_graph=True)
h, = torch.autograd.grad(g, x)
print(g, h)
