import torch


def f(p):
    return (1 - p[0]) ** 2 + 5 * (p[1] - p[0] ** 2) ** 2


p = torch.tensor([-0.5, 0.8], requires_grad=True)
for i in range(4):
    y = f(p)
    (gradient,) = torch.autograd.grad(y, p, create_graph=True)
    rows = [torch.autograd.grad(g, p, retain_graph=True)[0] for g in gradient]
    H = torch.stack(rows)
    with torch.no_grad():
        p -= torch.linalg.solve(H, gradient)
print(p)
