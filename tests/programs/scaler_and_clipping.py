import torch
from torch import nn

net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
x, y = torch.randn(6, 4), torch.randn(6, 1)
for step in range(4):
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nn.functional.mse_loss(net(x).float(), y)
    if step == 2:
        loss = loss * float("inf")  # skipped by the scaler
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(net.parameters(), max_norm=0.5)
    scaler.step(optimizer)
    scaler.update()
    print(step, scaler.get_scale(), bool(torch.isfinite(norm)))
torch.nn.utils.clip_grad_value_(net.parameters(), clip_value=0.01)
vector = torch.nn.utils.parameters_to_vector(net.parameters())
torch.nn.utils.vector_to_parameters(vector * 0.5, net.parameters())
print(vector.shape)
