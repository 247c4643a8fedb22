import torch
import torch.nn as nn
import torch.optim as optim

X = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float32)
Y = torch.tensor([[0], [1], [1], [0]], dtype=torch.float32)


class XOR(nn.Module):
    def __init__(self, hidden=4):
        super(XOR, self).__init__()
        self.layers = nn.ModuleList([nn.Linear(2, hidden), nn.Linear(hidden, 1)])

    def forward(self, x):
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return x


net = XOR()
criterion = nn.BCELoss()
optimizer = optim.Adam(net.parameters(), lr=0.05)
epoch = 0
while epoch < 8:
    optimizer.zero_grad(set_to_none=False)
    output = net(X)
    loss = criterion(output, Y)
    loss.backward()
    optimizer.step()
    epoch += 1
print(net(X).detach().round().flatten().tolist())
