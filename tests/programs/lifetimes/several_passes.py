import weakref
import torch
w = torch.ones(3, requires_grad=True)
def attack(name):
    x = torch.ones(3, requires_grad=True)
    weakref.finalize(x, print, name, "gone")
    (x * w).sum().backward()
    print(x.grad)
attack("first")
print("attacked")
(w * 2).sum().backward()
attack("second")
print(w.grad)
