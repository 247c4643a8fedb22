import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune


class Symmetric(nn.Module):
    def forward(self, X):
        return X.triu() + X.triu(1).transpose(-1, -2)


class Positive(nn.Module):
    def forward(self, X):
        return nn.functional.softplus(X)

    def right_inverse(self, A):
        return A.expm1().clamp(min=1e-3).log()


net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 2))
parametrize.register_parametrization(net[0], "weight", Symmetric())
parametrize.register_parametrization(net[0], "bias", Positive())
parametrizations.weight_norm(net[2])
parametrizations.orthogonal(net[4])
parametrizations.spectral_norm(net[5])
prune.l1_unstructured(net[5], name="bias", amount=1)
prune.random_unstructured(net[2], name="bias", amount=0.5)
optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
x = torch.randn(4, 3)
for step in range(2):
    loss = net(x).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
with parametrize.cached():
    print(net(x).shape, torch.allclose(net[0].weight, net[0].weight.T))
prune.remove(net[5], "bias")
parametrize.remove_parametrizations(net[0], "weight")
net(x).sum().backward()
print(sorted(name for name, p in net.named_parameters() if p.grad is not None))
