import torch
x = torch.ones(1, requires_grad=True)
y = x
for i in range(3000):
    y = y * 1.0001
y.backward()
print(x.grad)
