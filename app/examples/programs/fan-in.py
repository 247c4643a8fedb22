# A value used twice
# x reaches the result on two ways: each brings a gradient of its own, and they add up.
import torch

x = torch.tensor(2.0, requires_grad=True)

a = x * 3
b = x ** 2
c = a * b  # 3x³, so the gradient is 9x²
c.backward()

x.grad
