import torch
from torch import nn

G = nn.Sequential(nn.ConvTranspose2d(4, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(True), nn.ConvTranspose2d(3, 1, 4, 2), nn.Tanh())
D = nn.Sequential(nn.Conv2d(1, 3, 4, 2, bias=False), nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(3, 1, 3))


def weights_init(m):
    if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif isinstance(m, nn.BatchNorm2d):
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


G.apply(weights_init)
D.apply(weights_init)
criterion = nn.BCEWithLogitsLoss()
optimizerD = torch.optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
optimizerG = torch.optim.Adam(G.parameters(), lr=2e-4, betas=(0.5, 0.999))
for i in range(2):
    # (1) update D with all-real, then all-fake batch
    D.zero_grad()
    real = torch.rand(3, 1, 8, 8)
    label = torch.full((3,), 1.0)
    errD_real = criterion(D(real).view(-1), label)
    errD_real.backward()
    fake = G(torch.randn(3, 4, 1, 1))
    label.fill_(0.0)
    errD_fake = criterion(D(fake.detach()).view(-1), label)
    errD_fake.backward()
    errD = errD_real + errD_fake
    optimizerD.step()
    # (2) update G
    G.zero_grad()
    label.fill_(1.0)
    errG = criterion(D(fake).view(-1), label)
    errG.backward()
    optimizerG.step()
    print(f"{errD.item():.4f} {errG.item():.4f}")
