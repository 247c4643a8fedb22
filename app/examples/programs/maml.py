# Learn to learn: MAML
# The outer loss is taken after an inner step, so its gradient runs through that step: create_graph=True records the update.
# Tags: second derivatives, create_graph, meta-learning
import torch

torch.manual_seed(0)
x = torch.linspace(-1, 1, 8)
start = torch.tensor([0.0, 0.0], requires_grad=True)  # slope and intercept, before a task is seen


def mse(line, target):
    return ((line[0] * x + line[1] - target) ** 2).mean()


for step in range(20):
    outer = torch.tensor(0.0)
    for slope in (1.0, 3.0):  # two tasks
        target = slope * x + 0.5
        gradient, = torch.autograd.grad(mse(start, target), start, create_graph=True)
        adapted = start - 0.4 * gradient
        outer = outer + mse(adapted, target)
    outer.backward()
    with torch.no_grad():
        start -= 0.5 * start.grad
    start.grad = None

start  # between the tasks: a slope near 2, the intercept near 0.5
