# An LSTM cell that remembers
# The first number of a sequence is asked for at its end. The cell state carries it, and its gradient, across the time steps.
# Tags: sequence, recurrent, gates
import torch
from torch import nn

torch.manual_seed(0)
cell = nn.LSTMCell(1, 6)
read = nn.Linear(6, 1)
optimizer = torch.optim.Adam([*cell.parameters(), *read.parameters()], lr=0.05)

for step in range(12):
    sequence = torch.randn(4, 16, 1)  # time, batch, feature
    h = c = torch.zeros(16, 6)
    for x in sequence:
        h, c = cell(x, (h, c))
    loss = nn.functional.mse_loss(read(h), sequence[0])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

loss
