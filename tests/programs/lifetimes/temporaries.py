import torch, weakref
w = torch.ones(3, requires_grad=True)
def seen(t, name):
    weakref.finalize(t, print, name, "gone")
    return t
(seen(w * 2, "temporary") + 1).sum()
print("after one")
s = (seen(w * 2, "inner") ** 2).sum()
print("after two")
s.backward()
print("after backward")
print([seen(torch.ones(2), str(i)) is None for i in range(3)])
def h(x):
    seen(x, "argument")
    return x.mean()
h(w * 4)
print("after h")
