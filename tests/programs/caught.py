import torch
w = torch.tensor([1.0, 2.0], requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1)
try:
    (w * 2).backward()
except RuntimeError as error:
    print("caught:", error)
for step in range(2):
    loss = (w ** 2).sum()
    opt.zero_grad()
    loss.backward()
    opt.step()
    try:
        opt.step(lambda: 1 / 0)
    except ZeroDivisionError:
        print("again")
print(w.tolist())
