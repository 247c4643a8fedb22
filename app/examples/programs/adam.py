# Adam on one parameter
# Adam divides the average gradient by its own size: the first step is as long as the learning rate, whatever the loss.
# Tags: training, optimizer, Adam
import torch

x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True)
optimizer = torch.optim.Adam([m], lr=0.1)

for step in range(25):
    loss = ((m * x - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

m
