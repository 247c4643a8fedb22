# AutoGrad: the gradient of a mean
# z is the mean of 2y², and y = x + 2: by the chain rule, x.grad is 4y / 3.
# Tags: chain rule, leaf
import torch

x = torch.tensor([0.8894, -0.1854, -1.1037], requires_grad=True)
x

y = x + 2
y

z = (2 * y ** 2).mean()  # gradients are created only for scalars
z.backward()

x.grad

4 * y / 3  # the same numbers: the gradient was calculated correctly
