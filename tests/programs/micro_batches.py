import torch
w = torch.ones(3, requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1, momentum=0.9)
for step in range(2):
    opt.zero_grad()
    for mb in range(4):
        loss = (w * (mb + 1)).pow(2).mean() / 4
        loss.backward()
    opt.step()
