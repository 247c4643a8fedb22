# Without calling backward()
# Operations build the graph even without backward(). Tapedeck then runs backward once on the last result, and says so.
# Tags: grad_fn, dot product
import torch

a = torch.tensor([1.0, 2.0], requires_grad=True)
b = torch.tensor([3.0, -1.0], requires_grad=True)

dot = a @ b
cosine = dot / (a.norm() * b.norm())
cosine
