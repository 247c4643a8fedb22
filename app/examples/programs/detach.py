# Stop a gradient with detach()
# The target is computed from w but detached, so the gradient flows through the prediction only.
# Tags: detach, constant
import torch

w = torch.tensor([1.0, -2.0], requires_grad=True)
x = torch.tensor([3.0, 1.0])

prediction = (w * x).sum()
target = (0.9 * w * x).sum().detach() + 1
loss = (prediction - target) ** 2
loss.backward()

w.grad
