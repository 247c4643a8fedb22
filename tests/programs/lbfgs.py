import torch
x = torch.tensor([1., 2.], requires_grad=True)
opt = torch.optim.LBFGS([x], max_iter=5)
def closure():
    opt.zero_grad()
    loss = ((x - torch.tensor([3., -1.])) ** 4).sum()
    loss.backward()
    return loss
for i in range(3):
    opt.step(closure)
print(x)
