import torch
from torch import nn


class MatrixFactorization(nn.Module):
    def __init__(self, n_users, n_items, k=3):
        super().__init__()
        self.user = nn.Embedding(n_users, k, sparse=True)
        self.item = nn.Embedding(n_items, k, sparse=True)
        self.user_bias = nn.Embedding(n_users, 1, sparse=True)

    def forward(self, user, item):
        return (self.user(user) * self.item(item)).sum(1) + self.user_bias(user).squeeze(1)


ratings = [(0, 1, 4.0), (0, 2, 1.0), (1, 1, 5.0), (2, 0, 3.0)]
model = MatrixFactorization(3, 3)
optimizer = torch.optim.SparseAdam(list(model.parameters()), lr=0.05)
for epoch in range(2):
    for user, item, rating in ratings:
        optimizer.zero_grad()
        prediction = model(torch.LongTensor([user]), torch.LongTensor([item]))
        loss = (prediction - rating) ** 2
        loss.backward()
        optimizer.step()
print(model.user.weight.grad)
