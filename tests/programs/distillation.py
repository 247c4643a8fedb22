import torch
from torch import nn
import torch.nn.functional as F

teacher = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
student = nn.Linear(4, 3)
x, labels = torch.randn(12, 4), torch.randint(0, 3, (12,))


def train(model, epochs, loss_of):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = loss_of(model(x))
        loss.backward()
        optimizer.step()
    return loss.item()


print(train(teacher, 2, lambda logits: F.cross_entropy(logits, labels)))
teacher.eval()
with torch.no_grad():
    soft = F.softmax(teacher(x) / 2.0, dim=-1)


def distillation_loss(logits, T=2.0, alpha=0.7):
    soft_loss = F.kl_div(F.log_softmax(logits / T, dim=-1), soft, reduction="batchmean") * T * T
    return alpha * soft_loss + (1 - alpha) * F.cross_entropy(logits, labels)


print(train(student, 3, distillation_loss))
