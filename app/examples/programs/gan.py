# A generative adversarial network
# A generator learns to imitate numbers around 3. Two losses pull at it: detach() keeps the critic's step out of the generator.
# Tags: generative, two optimizers, detach
import torch
from torch import nn

torch.manual_seed(0)
generator = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
critic = nn.Sequential(nn.Linear(1, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
of_generator = torch.optim.Adam(generator.parameters(), lr=0.02)
of_critic = torch.optim.Adam(critic.parameters(), lr=0.02)
judge = nn.BCEWithLogitsLoss()
ones, zeros = torch.ones(16, 1), torch.zeros(16, 1)

for step in range(20):
    real = 3 + 0.5 * torch.randn(16, 1)
    fake = generator(torch.randn(16, 1))

    of_critic.zero_grad()
    critic_loss = judge(critic(real), ones) + judge(critic(fake.detach()), zeros)
    critic_loss.backward()
    of_critic.step()

    of_generator.zero_grad()
    generator_loss = judge(critic(fake), ones)  # fool the critic
    generator_loss.backward()
    of_generator.step()

fake.mean()
