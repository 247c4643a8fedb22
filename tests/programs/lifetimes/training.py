import torch, weakref
def note(t, name): weakref.finalize(t, print, name, "gone"); return t
def train():
    x = note(torch.ones(3, requires_grad=True), "leaf")
    y = note((x * 2).sum(), "loss")
    y.backward()
    g = note(x.grad, "grad")
    x.grad = None
    print("cleared")
    g = None
    print("g none")
    y = None
    print("y none")
    x = None
    print("x none")
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    for n, p in net.named_parameters(): note(p, n)
    opt = torch.optim.Adam(net.parameters())
    note(opt, "opt")
    for i in range(2):
        opt.zero_grad()
        out = note(net(torch.ones(2, 3)), f"out{i}")
        loss = note(out.mean(), f"loss{i}")
        loss.backward()
        opt.step()
        print("step", i)
    del out
    print("out del")
    n = p = opt = None
    print("deleted")
    loss = None
    print("no loss")
train()
print("trained")
def gen():
    for i in range(2):
        t = note(torch.full((2,), float(i)), f"yielded{i}")
        yield t
        t = None
        print("resumed")
for v in gen():
    print(v.sum())
v = None
print("gen")
@torch.no_grad()
def infer():
    h = note(torch.ones(4), "h0")
    for i in range(3):
        h = note(h * 2, f"h{i+1}")
    return h.sum()
print(infer())
class M(torch.nn.Module):
    def forward(self, x):
        a = note(x * 2, "a")
        b = note(a.relu(), "b")
        a = None
        print("in forward")
        return b.sum()
w = torch.ones(3, requires_grad=True)
r = M()(w)
print("forward done")
r.backward()
print("backward done")
def inner():
    z = note(torch.zeros(3, requires_grad=True), "z")
    g, = torch.autograd.grad((z * w).sum(), z)
    note(g, "g")
    zz = note(z - g, "zz")
    return zz.detach()
q = inner()
print("inner")
w.data = note(torch.zeros(3), "data")
w.register_hook(lambda g: note(g * 2, "hooked"))
(w * 2).sum().backward()
print("hook")
with torch.no_grad():
    w -= 0.1 * note(w.grad.clone(), "clone")
print("end")
