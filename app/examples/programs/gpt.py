# A GPT of two blocks
# Embeddings, two causal transformer blocks and a head: the model learns to continue a short text, letter by letter.
# Tags: attention, language model, embedding, residual
import torch
from torch import nn

torch.manual_seed(0)
text = "the tape plays the tape "
letters = sorted(set(text))
tokens = torch.tensor([letters.index(letter) for letter in text])
width, size, count = 16, len(tokens) - 1, len(letters)


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Embedding(count, width), nn.Embedding(size, width)
        blocks = (nn.TransformerEncoderLayer(width, 2, 32, dropout=0.0) for _ in range(2))
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(width, count)

    def forward(self, letters):
        x = self.token(letters) + self.position.weight
        later = torch.ones(size, size).triu(1).bool()
        for block in self.blocks:
            x = block(x, src_mask=later)
        return self.head(x)


model = GPT()
loss = nn.functional.cross_entropy(model(tokens[:-1]), tokens[1:])
loss.backward()
loss
