import torch, weakref
w = torch.ones(3, requires_grad=True)
cache = weakref.WeakValueDictionary()
alive = weakref.WeakSet()
def get(n):
    if n not in cache:
        made = torch.full((3,), float(n))
        cache[n] = made
        alive.add(made)
    return cache[n]
a = get(1)
b = (get(2) * w).sum()
print(sorted(cache), len(alive))
b.backward()
print(sorted(cache), len(alive))
a = None
print(sorted(cache), len(alive))
for i in range(5):
    (get(i) * w).sum().backward()
    print(sorted(cache))
from torch.utils.weak import WeakTensorKeyDictionary
k = WeakTensorKeyDictionary()
x = torch.ones(2)
k[x] = 1
print(len(k))
x = torch.ones(3)
print(len(k))
