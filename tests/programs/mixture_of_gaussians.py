import torch
from torch import nn

torch.manual_seed(0)
data = torch.cat([torch.randn(10) - 2, torch.randn(10) + 2])
means = nn.Parameter(torch.tensor([-1.0, 1.0]))
log_scales = nn.Parameter(torch.zeros(2))
log_weights = nn.Parameter(torch.zeros(2))
optimizer = torch.optim.Adagrad([means, log_scales, log_weights], lr=0.1)


def log_joint(data):
    normal = torch.distributions.Normal(means, log_scales.exp())
    return normal.log_prob(data[:, None]) + log_weights.log_softmax(0)


for iteration in range(3):
    with torch.no_grad():  # E: who is responsible
        responsibility = log_joint(data).softmax(1)
    for _ in range(2):  # M: by gradient
        optimizer.zero_grad()
        bound = -(responsibility * log_joint(data)).sum(1).mean()
        bound.backward()
        optimizer.step()
print(means.data, responsibility[:3])
