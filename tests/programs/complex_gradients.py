import torch

z = torch.tensor([1 + 2j, -0.5 + 0.25j], requires_grad=True)
w = torch.tensor([0.3, -0.7], requires_grad=True)
signal = torch.fft.fft(z * torch.polar(torch.ones(2), w))
power = (signal.abs() ** 2).sum() + torch.view_as_real(z.conj() * z).sum() + z.imag.sum() + z.angle().sum()
power.backward()
print(z.grad, w.grad)
optimizer = torch.optim.SGD([z, w], lr=0.01, momentum=0.5)
for step in range(2):
    optimizer.zero_grad()
    loss = (z.exp() - (1 + 1j)).abs().pow(2).mean() + torch.complex(w, w * 2).real.sum()
    loss.backward()
    optimizer.step()
m = torch.randn(2, 2, dtype=torch.complex128, requires_grad=True)
h = m + m.mH
torch.linalg.eigvalsh(h).sum().backward()
out = m.conj().t() @ m
out.backward(gradient=torch.eye(2, dtype=torch.complex128))
print(m.grad)
