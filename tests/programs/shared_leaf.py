import torch
w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
x = torch.tensor([0.5, -1.0, 2.0])
a = w * x
b = w.sin()
c, d = torch.stack([a, b]).unbind()
loss = (c * d + w).sum()
loss.backward()
w.grad
