import warnings
warnings.simplefilter("ignore")
import torch
v = torch.tensor([2., 3.], requires_grad=True)
s = torch.sparse_coo_tensor(torch.tensor([[0, 1], [1, 0]]), v, (2, 2))
torch.sparse.mm(s, torch.ones(2, 2)).sum().backward()
print(v.grad)
w = torch.eye(3, requires_grad=True)
(w.to_sparse_csr() @ torch.ones(3, 1)).sum().backward()
print(w.grad)
n = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], requires_grad=True)
torch.nested.to_padded_tensor(n * 2, 0.0).sum().backward()
grads = [part.tolist() for part in n.grad.unbind()]
del n
j = torch.nested.nested_tensor([torch.ones(2, 2), torch.ones(3, 2)], layout=torch.jagged, requires_grad=True)
(j * 2).values().sum().backward()
ragged = j.grad.values().tolist()
del j
