import numpy as np
import torch

data = np.linspace(-1, 1, 4).astype(np.float32)
x = torch.from_numpy(data)
w = torch.ones(1, requires_grad=True)
y = w * x
loss = (y - 2 * x).pow(2).mean()
loss.backward()
data *= 2  # numpy writes into a tensor
view = y.detach().numpy()
view[:] = 100.0
weights = w.detach().numpy()
for step in range(2):
    loss = (w * x - 2 * x).pow(2).mean()
    (g,) = torch.autograd.grad(loss, w)
    weights -= 0.1 * g.numpy()  # an update by numpy
print(w, y.tolist(), np.asarray(x).sum())
