from collections import deque

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Categorical


class Corridor:
    """Walk right to win."""

    def reset(self):
        self.at, self.t = 2, 0
        return self.state()

    def state(self):
        return F.one_hot(torch.tensor(self.at), 5).float()

    def step(self, action):
        self.at, self.t = max(0, min(4, self.at + (1 if action else -1))), self.t + 1
        return self.state(), 1.0 if self.at == 4 else -0.1, self.at == 4 or self.t >= 6


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(5, 8)
        self.dropout = nn.Dropout(p=0.2)
        self.affine2 = nn.Linear(8, 2)
        self.saved_log_probs = []
        self.rewards = []

    def forward(self, x):
        return F.softmax(self.affine2(F.relu(self.dropout(self.affine1(x)))), dim=-1)


policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)


def finish_episode(gamma=0.99):
    R, returns = 0, deque()
    for r in policy.rewards[::-1]:
        R = r + gamma * R
        returns.appendleft(R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    policy_loss = [-log_prob * R for log_prob, R in zip(policy.saved_log_probs, returns)]
    optimizer.zero_grad()
    policy_loss = torch.stack(policy_loss).sum()
    policy_loss.backward()
    optimizer.step()
    policy.rewards.clear()
    policy.saved_log_probs.clear()


env = Corridor()
for episode in range(2):
    state, done = env.reset(), False
    while not done:
        m = Categorical(policy(state))
        action = m.sample()
        policy.saved_log_probs.append(m.log_prob(action))
        state, reward, done = env.step(action.item())
        policy.rewards.append(reward)
    print(episode, round(sum(policy.rewards), 2))
    finish_episode()
