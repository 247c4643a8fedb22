import torch
from torch.distributions import Normal, kl_divergence

x = torch.linspace(-1, 1, 12)
y = 1.5 * x - 0.5 + 0.1 * torch.randn(12)
loc = torch.zeros(2, requires_grad=True)
rho = torch.full((2,), -2.0, requires_grad=True)
prior = Normal(torch.zeros(2), torch.ones(2))
optimizer = torch.optim.Adam([loc, rho], lr=0.05)
for step in range(3):
    posterior = Normal(loc, torch.nn.functional.softplus(rho))
    w = posterior.rsample((4,))
    prediction = w[:, :1] * x + w[:, 1:]
    log_likelihood = Normal(prediction, 0.1).log_prob(y).sum(1).mean()
    elbo = log_likelihood - kl_divergence(posterior, prior).sum()
    optimizer.zero_grad()
    (-elbo).backward()
    optimizer.step()
print(loc, rho)
