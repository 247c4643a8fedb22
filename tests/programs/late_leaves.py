import torch

x = torch.arange(3.0)
y = x * 2  # not recorded: x needs no gradient yet
x.requires_grad_()
z = x * 3 + y
z.retain_grad()
mid = z.exp()
mid.retain_grad()
mid.log().sum().backward()
print(x.grad, z.grad, mid.grad, y.requires_grad)

params = [torch.zeros(2, requires_grad=True), torch.ones(2)]
params[1].requires_grad = True
table = {"scale": torch.tensor(2.0).requires_grad_(True)}
loss = (params[0] + params[1] * table["scale"]).pow(2).sum()
loss.backward()
frozen = params[1].requires_grad_(False)
again = (params[0] + frozen * table["scale"]).sum()
again.backward()
cut = again.detach_()
print(params[0].grad, params[1].grad, table["scale"].grad, cut.requires_grad)
