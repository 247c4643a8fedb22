import torch, weakref
w = torch.ones(3, requires_grad=True)
def f():
    x = torch.ones(3)
    weakref.finalize(x, print, "x gone")
    y = w * x
    weakref.finalize(y, print, "y gone")
    z = (y * 2).sum()
    weakref.finalize(z, print, "z gone")
    y = None
    print("y rebound")
    x = 3
    print("x rebound")
f()
print("after f")
def g():
    a = w * 5
    weakref.finalize(a, print, "a gone")
    return a.sum()
l = g()
print("after g")
l.backward()
print("after backward")
