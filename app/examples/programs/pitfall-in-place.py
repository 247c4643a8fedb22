# Pitfall: in place over a saved tensor
# exp saves its result for the backward pass, and h += 1 writes over it: the second pass stops. With h = h + 1 it runs.
# Tags: mistake, in place, saved tensor
import torch

x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)

h = torch.exp(x)
h = h + 1
h.sum().backward()
x.grad

x.grad = None
h = torch.exp(x)
h += 1
h.sum().backward()
