import torch

x = torch.arange(6.0, requires_grad=True)
base = x.clone().view(2, 3)
base[0, 1] = 10.0
base[1].mul_(2)
base.t()[2].add_(1)
base.diagonal().copy_(torch.tensor([7.0, 8.0]))
strided = torch.as_strided(base, (2, 2), (1, 2))
strided.mul_(0.5)
chunk = base.narrow(1, 0, 2)
chunk.neg_()
flat = base.flatten()
flat[base.flatten() > 5] = 0.0
flat.masked_fill_(torch.tensor([True, False, False, False, False, True]), -1.0)
flat.index_put_((torch.tensor([1, 2]),), x[:2], accumulate=True)
flat.index_add_(0, torch.tensor([0, 0]), x[4:])
loss = (flat * torch.arange(6.0)).sum()
loss.backward()
print(x.grad)

h = torch.zeros(3, 2)
for i in range(3):
    h[i] = x[2 * i : 2 * i + 2] * (i + 1)  # filled row by row
out = torch.empty(3, 2)
torch.add(h.detach(), 1, out=out)
first, *rest = h.unbind(0)
total = first.prod() + sum(r.sum() for r in rest) + h.relu().sum()
total.backward()
try:
    first.add_(1)  # one of several views: torch refuses
except RuntimeError as error:
    print(type(error).__name__)
print(x.grad)
a = x.detach().clone().requires_grad_()
s = a * 1
s[...], t = s.flip(0), s.unsqueeze(0)
t.squeeze_(0).sub_(a)
u = s.swapaxes_(0, 0).unflatten(0, (2, 3))
u[0] += u[1]
u.sum().backward()
print(a.grad)
