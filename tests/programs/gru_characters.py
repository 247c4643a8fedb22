import torch
from torch import nn

text = "hello world hello tape"
chars = sorted(set(text))
stoi = {c: i for i, c in enumerate(chars)}
encoded = torch.tensor([stoi[c] for c in text])


class CharGRU(nn.Module):
    def __init__(self, vocab, hidden=12):
        super().__init__()
        self.embed = nn.Embedding(vocab, 8)
        self.gru = nn.GRU(8, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, vocab)

    def forward(self, x, h=None):
        out, h = self.gru(self.embed(x), h)
        return self.head(out), h


model = CharGRU(len(chars))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
hidden = None
for start in range(0, 15, 5):  # truncated backpropagation through time
    x = encoded[start : start + 5].unsqueeze(0)
    y = encoded[start + 1 : start + 6].unsqueeze(0)
    logits, hidden = model(x, hidden)
    loss = nn.functional.cross_entropy(logits.transpose(1, 2), y)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(model.parameters(), 0.05)
    optimizer.step()
    hidden = hidden.detach()


@torch.no_grad()
def sample(n=5):
    model.eval()
    x, h, out = encoded[:1].unsqueeze(0), None, []
    for _ in range(n):
        logits, h = model(x, h)
        x = torch.multinomial(logits[:, -1].softmax(-1), 1)
        out.append(chars[x.item()])
    return "".join(out)


print(repr(sample()))
