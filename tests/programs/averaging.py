import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, ReduceLROnPlateau, SequentialLR
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
swa = AveragedModel(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
warmup = LambdaLR(optimizer, lambda epoch: (epoch + 1) / 2)
scheduler = SequentialLR(optimizer, [warmup, CosineAnnealingLR(optimizer, T_max=4)], milestones=[2])
plateau = ReduceLROnPlateau(optimizer, patience=0)
data = [(torch.randn(4, 3), torch.randn(4, 1)) for _ in range(2)]
for epoch in range(2):
    for x, y in data:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        ema.update_parameters(model)
    scheduler.step()
    plateau.step(loss.item())
    swa.update_parameters(model)
    print(epoch, optimizer.param_groups[0]["lr"])
swa_scheduler = SWALR(optimizer, swa_lr=0.05)
swa_scheduler.step()
update_bn([x for x, _ in data], swa)
shadow = {name: p.detach().clone() for name, p in model.named_parameters()}
with torch.no_grad():
    for name, p in model.named_parameters():
        shadow[name].mul_(0.9).add_(p, alpha=0.1)
print(int(ema.n_averaged), ema(data[0][0]).mean())
