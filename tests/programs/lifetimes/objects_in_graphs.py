import torch
w = torch.ones(3, requires_grad=True)
class Thing:
    def __init__(self, name): self.name = name
    def __del__(self): print(self.name, "deleted")
class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.thing = Thing("ctx")
        return x * 2
    @staticmethod
    def backward(ctx, g):
        return g * 2
y = F.apply(w)
y.sum().backward()
print("backward done")
y = None
print("y none")
def f():
    z = F.apply(w)
    return z.sum()
f()
print("f done")
q = F.apply(w)
q = F.apply(w)
print("q twice")
del q
print("q del")
def pack(t): return (Thing("packed"), t)
def unpack(p): return p[1]
with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
    a = w ** 2
    a = a.sum()
print("made")
a.backward()
print("backward")
with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
    def g():
        b = w.exp()
        return b.detach()
    g()
print("after g")
t = torch.ones(2)
t.thing = Thing("attribute")
t = None
print("end")
