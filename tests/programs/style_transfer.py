import torch
import torch.nn.functional as F
from torch import nn

cnn = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=False), nn.AvgPool2d(2), nn.Conv2d(4, 6, 3, padding=1))
cnn.requires_grad_(False).eval()
content_img, style_img = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)


def gram_matrix(input):
    a, b, c, d = input.size()
    features = input.view(a * b, c * d)
    return torch.mm(features, features.t()).div(a * b * c * d)


def features(img):
    out = []
    for layer in cnn:
        img = layer(img)
        out.append(img)
    return out


style_targets = [gram_matrix(f).detach() for f in features(style_img)]
content_target = features(content_img)[-1].detach()
input_img = content_img.clone().requires_grad_(True)
optimizer = torch.optim.LBFGS([input_img], max_iter=3)
run = [0]
while run[0] < 6:

    def closure():
        with torch.no_grad():
            input_img.clamp_(0, 1)
        optimizer.zero_grad()
        found = features(input_img)
        style_score = sum(F.mse_loss(gram_matrix(f), t) for f, t in zip(found, style_targets))
        content_score = F.mse_loss(found[-1], content_target)
        loss = 1e4 * style_score + content_score
        loss.backward()
        run[0] += 1
        return style_score + content_score

    optimizer.step(closure)
with torch.no_grad():
    input_img.clamp_(0, 1)
print(run, input_img.mean())
