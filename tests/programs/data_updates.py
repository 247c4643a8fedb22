import torch
w = torch.tensor([1., 2.], requires_grad=True)
for _ in range(3):
    loss = (w ** 2).sum()
    loss.backward()
    w.data -= 0.1 * w.grad
    w.grad.zero_()
print(w)
