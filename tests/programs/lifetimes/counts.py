import sys
import weakref
import torch
w = torch.ones(3, requires_grad=True)
def f():
    x = w * 2
    weakref.finalize(x, print, "x gone")
    raise ValueError("no")
try:
    f()
except ValueError:
    print("caught")
print("after")
for i in range(3):
    y = w * i
    r = weakref.ref(y)
    y.sum().backward()
    print(i, r() is y)
    y = None
    print(i, r() is None)
t = torch.ones(3)
loss = (w * 2).sum()
for each in (t, w, loss):
    print(sys.getrefcount(each), weakref.getweakrefcount(each), weakref.getweakrefs(each))
loss.backward()
print(sys.getrefcount(w), weakref.getweakrefcount(w))
def g():
    a = torch.ones(3)
    seen = locals()
    v = torch.ones(2, requires_grad=True)
    (v * 2).sum().backward()
    print(seen["a"] is a)
g()
