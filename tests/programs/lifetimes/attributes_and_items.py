import torch, weakref
w = torch.ones(3, requires_grad=True)
class Holder: pass
o = Holder()
o.x = w * 2
weakref.finalize(o.x, print, "o.x gone")
o.x = None
print("rebound attribute")
d = {"a": w * 3}
weakref.finalize(d["a"], print, "item gone")
d["a"] = 1
print("rebound item")
l = [w * 4, torch.ones(2)]
for i, t in enumerate(l):
    weakref.finalize(t, print, "element", i, "gone")
del t
l.clear()
print("cleared")
m = torch.nn.Linear(3, 2)
weakref.finalize(m, print, "module gone")
weakref.finalize(m.weight, print, "weight gone")
m(w).sum().backward()
print("passed")
m = None
print("after module")
