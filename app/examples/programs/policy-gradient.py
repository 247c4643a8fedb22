# A policy gradient
# Three slot machines: the reward has no gradient, but the logarithm of the chosen probability has, weighted by the reward.
# Tags: reinforcement learning, sampling, baseline
import torch

torch.manual_seed(0)
pays = torch.tensor([0.2, 0.5, 0.8])  # unknown to the player
preference = torch.zeros(3, requires_grad=True)
optimizer = torch.optim.SGD([preference], lr=0.5)

for step in range(40):
    policy = torch.distributions.Categorical(logits=preference)
    choice = policy.sample((16,))
    reward = torch.bernoulli(pays[choice])
    advantage = reward - reward.mean()
    loss = -(advantage * policy.log_prob(choice)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

preference.softmax(0)
