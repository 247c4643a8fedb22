# An autoencoder
# Eight points on a line in three dimensions pass through one number: the gradient teaches both halves at once.
# Tags: generative, bottleneck, training
import torch
from torch import nn

torch.manual_seed(0)
points = torch.linspace(-1, 1, 8).unsqueeze(1) * torch.tensor([[1.0, -0.5, 2.0]])
encoder, decoder = nn.Linear(3, 1), nn.Linear(1, 3)
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.05)

for step in range(25):
    code = encoder(points)
    loss = nn.functional.mse_loss(decoder(code), points)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

loss
