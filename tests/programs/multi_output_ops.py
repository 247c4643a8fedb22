import torch

x = torch.randn(4, 3, dtype=torch.double, requires_grad=True)
values, indices = x.max(dim=1)
top = x.topk(2, dim=1).values
std, mean = torch.std_mean(x, dim=0)
low, high = torch.cummin(x, dim=0).values, torch.cummax(x, dim=0).values
U, S, Vh = torch.linalg.svd(x, full_matrices=False)
q, r = torch.linalg.qr(x)
sym = x.t() @ x + 3 * torch.eye(3)
L, V = torch.linalg.eigh(sym)
sign, logdet = torch.linalg.slogdet(sym)
a, b = x.split(2)
c, d, e = x.unbind(1)
sorted_, order = x.sort(dim=0)
median = x.median(dim=0).values
f, g = torch.frexp(x.detach())
grid = torch.meshgrid(c, d, indexing="ij")
loss = values.sum() + top.sum() + (std * mean).sum() + (high - low).sum() + S.log().sum() + r.diagonal().abs().sum()
loss = loss + L.sum() + logdet + (a * b).sum() + (c * d - e).sum() + sorted_[0].sum() + median.sum() + (grid[0] * grid[1]).mean()
only_second = torch.var_mean(x, dim=1)[1].sum()
loss.backward()
only_second.backward()
print(x.grad)
rnn = torch.nn.LSTM(3, 2, bidirectional=True)
out, (hn, cn) = rnn(torch.randn(5, 1, 3))
hn.sum().backward()  # one of three outputs
print(rnn.weight_hh_l0.grad)
