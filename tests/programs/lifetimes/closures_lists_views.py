import torch, weakref, functools
def note(t, name): weakref.finalize(t, print, name, "gone"); return t
w = torch.ones(3, requires_grad=True)
def make():
    big = note(torch.ones(5), "big")
    def use(): return big.sum() * w.sum()
    return use
u = make()
u().backward()
u = None
print("closure gone")
def exc():
    try:
        t = note(torch.ones(3), "t")
        t.backward()
    except RuntimeError as e:
        print("caught")
    t = None
    print("t none")
exc()
try:
    k = note(torch.ones(3), "k")
    k @ torch.ones(7)
except RuntimeError:
    k = None
print("k none")
lst = []
for i in range(3):
    lst.append(note(w * i, f"item{i}"))
total = sum(t.sum() for t in lst)
lst = []
print("list dropped")
total.backward()
print("backward")
d = {i: note(torch.ones(1), f"d{i}") for i in range(2)}
d.pop(0)
print("popped")
d.clear()
print("clear")
a, b = note(torch.ones(1), "ua"), note(torch.ones(1), "ub")
a, b = b, a
a = None
print("a none")
b = 0
print("b none")
view = note(torch.arange(6.).view(2, 3), "view")
row = note(view[0], "row")
view = None
print("view none")
row = None
print("row none")
n = note(torch.ones(3).numpy(), "array")
n = None
print("array none")
t = torch.ones(4)
n = t.numpy(); note(n, "shared array"); note(t, "shared tensor")
t = None
print("t none")
n = None
print("n none")
p = torch.nn.Parameter(torch.ones(2)); note(p, "p")
(p * 2).sum().backward()
p = torch.nn.Parameter(torch.ones(2))
print("p rebound")
w = (w - 0.1 * w.grad).detach().requires_grad_()
print("w rebound")
(w * 2).sum().backward()
print("end")
