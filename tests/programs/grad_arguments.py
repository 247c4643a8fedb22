import torch

x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
w = torch.tensor([0.5, -0.5, 1.0], requires_grad=True)
unused = torch.ones(2, requires_grad=True)
h = x * w
y = h.exp()
gx, gh = torch.autograd.grad(y, (x, h), grad_outputs=torch.tensor([1.0, 0.0, 2.0]), retain_graph=True)
print(gx, gh)
print(torch.autograd.grad(y.sum(), [w, unused], allow_unused=True, retain_graph=True))
print(torch.autograd.grad([y.sum(), h.sum()], [w, unused], materialize_grads=True, retain_graph=True))
rows, = torch.autograd.grad(y, x, torch.eye(3), is_grads_batched=True, retain_graph=True)
print(rows)
first, = torch.autograd.grad(y.sum(), x, create_graph=True)
second, = torch.autograd.grad(first.sum(), x, create_graph=True)
third, = torch.autograd.grad(second.sum(), x, retain_graph=True)
print(first, second, third)
try:
    torch.autograd.grad(y.sum(), unused, retain_graph=True)
except RuntimeError as error:
    print(type(error).__name__)
y.sum().backward(inputs=[w], retain_graph=True)
print(x.grad, w.grad)
edge = torch.autograd.graph.get_gradient_edge(h)
k = h * 2
print(torch.autograd.grad(k.sum(), edge))
