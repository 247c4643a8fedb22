# Watch a gradient with a hook
# retain_grad() keeps the gradient of a tensor in the middle of the graph; a hook sees it on its way, and may replace it.
# Tags: hooks, retain_grad, leaf
import torch

x = torch.tensor([1.0, 2.0], requires_grad=True)
hidden = x * 3
hidden.retain_grad()  # hidden is not a leaf: without this line its .grad stays None
squared = hidden ** 2
squared.register_hook(lambda gradient: gradient.clamp(max=0.5))

loss = squared.sum()
loss.backward()

hidden.grad  # 0.5 · 2 · hidden: the hook halved the ones that arrived
x.grad
