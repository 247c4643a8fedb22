# An adversarial example
# The gradient at the input, not at a weight: a small step along its sign makes a classifier change its mind.
# Tags: input gradient, classification
import torch
from torch.nn import functional as F

weight = torch.tensor([[1.0, -2.0, 0.5], [-0.5, 1.0, -1.0]])
image = torch.tensor([0.6, 0.1, 0.4], requires_grad=True)
label = torch.tensor(0)

logits = weight @ image
loss = F.cross_entropy(logits, label)
loss.backward()

attacked = image.detach() + 0.3 * image.grad.sign()
logits.argmax(), (weight @ attacked).argmax()  # class 0 before, class 1 after
