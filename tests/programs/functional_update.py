import torch
w = torch.tensor(3.0, requires_grad=True)
for step in range(3):
    loss = (w - 1) ** 2
    loss.backward()
    w = (w - 0.1 * w.grad).detach().requires_grad_()
print(w)
