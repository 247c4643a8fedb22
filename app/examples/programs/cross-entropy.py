# Logistic regression with cross entropy
# Three classes in a plane: the gradient at the logits is softmax − one-hot, divided by the number of points.
# Tags: classification, softmax, update by hand
import torch
import torch.nn.functional as F

labels = torch.arange(3).repeat(4)
centres = torch.tensor([[2.0, 0.0], [-1.0, 2.0], [-1.0, -2.0]])
x = centres[labels] + 0.5 * torch.randn(12, 2)

weight = torch.zeros(3, 2, requires_grad=True)
bias = torch.zeros(3, requires_grad=True)

for step in range(15):
    logits = x @ weight.T + bias
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    with torch.no_grad():
        for parameter in (weight, bias):
            parameter -= 0.5 * parameter.grad
            parameter.grad = None

(logits.argmax(1) == labels).float().mean()
