import torch, weakref
w = torch.ones(3, requires_grad=True)
x = torch.ones(3)
weakref.finalize(x, print, "x gone")
x = torch.zeros(3)
print("after x")
y = w * 2
weakref.finalize(y, print, "y gone")
y = w * 3
print("after y")
y.sum().backward()
y = None
print("end")
