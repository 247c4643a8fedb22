import torch
cell = torch.nn.RNNCell(3, 4)
x = torch.randn(5, 2, 3)
h = torch.zeros(2, 4)
for t in range(5):
    h = cell(x[t], h)
loss = h.pow(2).sum()
loss.backward()
print(cell.weight_hh.grad.norm())
