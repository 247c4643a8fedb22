import torch
from torch.func import grad, vmap, jacrev
f = lambda w, x: (w * x).sin().sum()
w = torch.randn(3); x = torch.randn(5, 3)
print(vmap(grad(f), (None, 0))(w, x))
print(jacrev(lambda w: w ** 2)(w))
print(torch.autograd.functional.jacobian(lambda w: w ** 3, w))
