# Embeddings of letters
# A row of the table gets a gradient only if its letter occurs: after backward() all other rows are exactly zero.
# Tags: embedding, language model, sparse gradient
import torch
from torch import nn

torch.manual_seed(0)
text = "abracadabra"
letters = torch.tensor([ord(letter) - ord("a") for letter in text])
table = nn.Embedding(26, 4)
head = nn.Linear(4, 26)

loss = nn.functional.cross_entropy(head(table(letters[:-1])), letters[1:])
loss.backward()

table.weight.grad.norm(dim=1)  # nonzero at a, b, c, d and r
