import torch
from torch import nn

torch.manual_seed(0)
encoder = nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 2))
decoder = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 10))
optimizer = torch.optim.RMSprop([{"params": encoder.parameters(), "lr": 1e-2}, {"params": decoder.parameters()}], lr=1e-3)
data = torch.randn(30, 2) @ torch.randn(2, 10)
for step, batch in enumerate(torch.split(data, 10)):
    noisy = batch + 0.1 * torch.randn_like(batch)
    code = encoder(noisy)
    reconstruction = decoder(code)
    loss = nn.functional.mse_loss(reconstruction, batch) + 1e-3 * code.abs().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(step, round(loss.item(), 4))
