import torch
x = torch.tensor([1., 2.], requires_grad=True)
y = x * 3
y.register_hook(lambda g: g * 10)
y.retain_grad()
z = (y ** 2).sum() + y.sum()
z.backward()
print(x.grad, y.grad)
