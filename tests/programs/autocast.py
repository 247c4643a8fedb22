import torch
from torch import nn

model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(12, 4), nn.LayerNorm(4), nn.Linear(4, 2))
x, labels = torch.randn(3, 1, 8), torch.tensor([0, 1, 1])
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for epoch in range(2):
    optimizer.zero_grad()
    with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
        logits = model(x)
        with torch.autocast(device_type="cpu", enabled=False):
            exact = logits.float() * 2
        loss = nn.functional.cross_entropy(exact, labels)
    loss.backward()
    optimizer.step()
half = nn.Linear(2, 2).to(torch.bfloat16)
half(torch.ones(1, 2, dtype=torch.bfloat16)).sum().backward()
print(logits.dtype, loss.dtype, half.weight.grad)
