# Learn an edge filter
# A 3 × 3 kernel is fitted to the output of a Sobel filter: its gradient is a correlation of the image with the error.
# Tags: convolution, training
import torch
from torch.nn import functional as F

torch.manual_seed(0)
sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]).view(1, 1, 3, 3)
images = torch.randn(4, 1, 8, 8)
target = F.conv2d(images, sobel)
kernel = torch.zeros(1, 1, 3, 3, requires_grad=True)
optimizer = torch.optim.SGD([kernel], lr=0.2)

for step in range(15):
    loss = F.mse_loss(F.conv2d(images, kernel), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

kernel.round(decimals=2)
