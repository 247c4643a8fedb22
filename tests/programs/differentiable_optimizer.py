import torch

# learn the learning rate, through the optimizer's own steps
log_lr = torch.tensor(-2.0, requires_grad=True)
meta = torch.optim.Adam([log_lr], lr=0.1)
x = torch.linspace(-1, 1, 6)
for outer in range(2):
    w = torch.zeros(1, requires_grad=True).clone()
    inner = torch.optim.SGD([w], lr=log_lr.exp(), differentiable=True)
    for _ in range(2):
        inner_loss = ((w * x - 2 * x) ** 2).mean()
        w.grad = torch.autograd.grad(inner_loss, w, create_graph=True)[0]
        inner.step()
    final = ((w * x - 2 * x) ** 2).mean()
    meta.zero_grad()
    final.backward()
    meta.step()
    print(f"{final.item():.4f} {log_lr.item():.4f}")
