import torch
from torch import nn

# derivatives of derivatives
x = torch.tensor([0.5, 1.5], requires_grad=True)
y = x.sin() * x
orders = [y]
for n in range(3):
    (g,) = torch.autograd.grad(orders[-1].sum(), x, create_graph=True)
    orders.append(g)
print([o.tolist() for o in orders])

# a gradient penalty, as in WGAN-GP
critic = nn.Sequential(nn.Linear(2, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1))
optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.0, 0.9))
for step in range(2):
    real, fake = torch.randn(3, 2) + 1, torch.randn(3, 2)
    alpha = torch.rand(3, 1)
    mixed = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    scores = critic(mixed)
    (gradients,) = torch.autograd.grad(outputs=scores, inputs=mixed, grad_outputs=torch.ones_like(scores), create_graph=True)
    penalty = ((gradients.norm(2, dim=1) - 1) ** 2).mean()
    loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{loss.item():.4f} {penalty.item():.4f}")
