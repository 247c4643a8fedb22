# A variational autoencoder
# The latent code is random, yet gradients reach the encoder: z = mean + deviation · noise, and the noise is a constant.
# Tags: generative, reparameterization, two losses
import torch
from torch import nn

torch.manual_seed(0)
angle = torch.linspace(0, 6.28, 32)
points = torch.stack([angle.cos(), angle.sin()], dim=1)  # a circle
encoder = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
decoder = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 2))
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.02)

for step in range(25):
    mean, log_variance = encoder(points).chunk(2, dim=1)
    noise = torch.randn_like(mean)
    z = mean + (log_variance / 2).exp() * noise

    error = ((decoder(z) - points) ** 2).sum(dim=1).mean()
    divergence = 0.5 * (mean ** 2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
    loss = error + 0.1 * divergence
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

error, divergence
