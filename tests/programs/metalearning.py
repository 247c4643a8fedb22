import torch
torch.manual_seed(3)
w = torch.randn(2, requires_grad=True)
opt = torch.optim.Adam([w], lr=0.1)
for outer in range(3):
    x = torch.randn(8, 2)
    fast = w
    for inner in range(2):
        loss = (x @ fast - x.sum(1)).pow(2).mean()
        (g,) = torch.autograd.grad(loss, fast, create_graph=True)
        fast = fast - 0.1 * g
    meta = (x @ fast - x.sum(1)).pow(2).mean()
    opt.zero_grad()
    meta.backward()
    opt.step()
