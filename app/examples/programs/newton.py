# Second derivatives: Newton's method
# create_graph=True makes the gradient part of a graph, so torch.autograd.grad can differentiate it again.
# Tags: second derivatives, create_graph
import torch

x = torch.tensor(2.0, requires_grad=True)

for step in range(5):
    f = x ** 4 - 3 * x ** 2 + x
    slope, = torch.autograd.grad(f, x, create_graph=True)
    curvature, = torch.autograd.grad(slope, x)
    with torch.no_grad():
        x -= slope / curvature

x
