# Clip a gradient
# One outlier among the points makes a gradient of about 50. clip_grad_norm_ keeps its direction and cuts its length to 1.
# Tags: clipping, training, stability
import torch
from torch import nn

torch.manual_seed(0)
x = torch.tensor([[0.1], [0.2], [0.3], [5.0]])
y = torch.tensor([[0.2], [0.4], [0.6], [25.0]])
line = nn.Linear(1, 1)
optimizer = torch.optim.SGD(line.parameters(), lr=0.1)

for step in range(10):
    loss = nn.functional.mse_loss(line(x), y)
    optimizer.zero_grad()
    loss.backward()
    before = nn.utils.clip_grad_norm_(line.parameters(), max_norm=1.0)
    optimizer.step()

before, line.weight.grad.norm()
