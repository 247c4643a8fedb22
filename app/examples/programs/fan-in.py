# A value used twice
# x reaches the result along two paths: each contributes a gradient, and the two are added.
# Tags: sum of gradients, chain rule
import torch

x = torch.tensor(2.0, requires_grad=True)

a = x * 3
b = x ** 2
c = a * b  # 3x³, so the gradient is 9x²
c.backward()

x.grad
