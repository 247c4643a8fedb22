import torch
a = torch.randn(4, requires_grad=True)
b = a * 2
b[1:3] *= 3
b.relu_()
v = b.view(2, 2)
v += 1
c = torch.zeros(4)
c[:2] = a[:2]
loss = (b + c).sum() + v.prod()
loss.backward()
print(a.grad)
