import torch
emb = torch.nn.Embedding(10, 3, sparse=True)
out = emb(torch.tensor([1, 2, 1])).sum()
out.backward()
print(emb.weight.grad)
z = torch.randn(3, dtype=torch.complex64, requires_grad=True)
(z * z.conj()).real.sum().backward()
print(z.grad)
