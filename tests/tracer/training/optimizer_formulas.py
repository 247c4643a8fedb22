"""Compute the steps of optimizers in float64, by the formulas in PyTorch's documentation.

Each function takes the value, the gradient, the state before the step (``None`` at first) and the options of the group. It
returns the state and the value after the step. Nothing here uses ``torch.optim``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]
Options = dict[str, Any]
Formula = Callable[[Tensor, Tensor, State | None, Options], tuple[State, Tensor]]


def zeros(w: Tensor, *names: str) -> State:
    return {"step": torch.tensor(0.0, dtype=w.dtype)} | {name: torch.zeros_like(w) for name in names}


def moments(g: Tensor, s: State, o: Options) -> tuple[float, State, Tensor, Tensor]:
    """Return the number of the step, the state with both moments, and both moments without bias, for any variant of Adam."""
    t = s["step"] + 1
    (b1, b2), n = o["betas"], t.item()
    m = b1 * s["exp_avg"] + (1 - b1) * g
    v = b2 * s["exp_avg_sq"] + (1 - b2) * g**2
    return n, s | {"step": t, "exp_avg": m, "exp_avg_sq": v}, m / (1 - b1**n), v / (1 - b2**n)


def sgd(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    g = (-g if o["maximize"] else g) + o["weight_decay"] * w
    if not o["momentum"]:
        return {}, w - o["lr"] * g
    buffer = g if s is None else o["momentum"] * s["momentum_buffer"] + (1 - o["dampening"]) * g
    return {"momentum_buffer": buffer}, w - o["lr"] * (g + o["momentum"] * buffer if o["nesterov"] else buffer)


def adam(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    before = s or zeros(w, "exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if o["amsgrad"] else []))
    if o.get("decoupled_weight_decay"):
        w = w * (1 - o["lr"] * o["weight_decay"])
    else:
        g = g + o["weight_decay"] * w
    n, after, m, v = moments(g, before, o)
    if o["amsgrad"]:
        after["max_exp_avg_sq"] = torch.maximum(before["max_exp_avg_sq"], after["exp_avg_sq"])
        v = after["max_exp_avg_sq"] / (1 - o["betas"][1] ** n)
    return after, w - o["lr"] * m / (v.sqrt() + o["eps"])


def sparse_adam(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    """Apply Adam to the rows that have a gradient. The other rows don't change."""
    before = s or zeros(w, "exp_avg", "exp_avg_sq")
    _, after, m, v = moments(g, before, o)
    there = (g != 0).any(dim=1, keepdim=True)
    kept = {name: torch.where(there, after[name], before[name]) for name in ("exp_avg", "exp_avg_sq")}
    scale = math.sqrt(1 - o["betas"][1] ** after["step"].item())  # eps is added before the bias is removed
    return after | kept, torch.where(there, w - o["lr"] * m / (v.sqrt() + o["eps"] / scale), w)


def adamax(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    s = s or zeros(w, "exp_avg", "exp_inf")
    (b1, b2), t = o["betas"], s["step"] + 1
    g = g + o["weight_decay"] * w
    m = b1 * s["exp_avg"] + (1 - b1) * g
    u = torch.maximum(b2 * s["exp_inf"], g.abs() + o["eps"])
    return {"step": t, "exp_avg": m, "exp_inf": u}, w - o["lr"] / (1 - b1 ** t.item()) * m / u


def nadam(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    before = s or zeros(w, "exp_avg", "exp_avg_sq") | {"mu_product": torch.tensor(1.0, dtype=w.dtype)}
    n, after, _, v = moments(g + o["weight_decay"] * w, before, o)
    g = g + o["weight_decay"] * w
    b1 = o["betas"][0]
    mu = b1 * (1 - 0.5 * 0.96 ** (n * o["momentum_decay"]))
    following = b1 * (1 - 0.5 * 0.96 ** ((n + 1) * o["momentum_decay"]))
    product = before["mu_product"] * mu
    m = following * after["exp_avg"] / (1 - product * following) + (1 - mu) * g / (1 - product)
    return after | {"mu_product": product}, w - o["lr"] * m / (v.sqrt() + o["eps"])


def radam(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    n, after, m, _ = moments(g + o["weight_decay"] * w, s or zeros(w, "exp_avg", "exp_avg_sq"), o)
    b2 = o["betas"][1]
    most = 2 / (1 - b2) - 1
    length = most - 2 * n * b2**n / (1 - b2**n)
    if length <= 5:
        return after, w - o["lr"] * m
    rectified = math.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
    adaptive = math.sqrt(1 - b2**n) / (after["exp_avg_sq"].sqrt() + o["eps"])
    return after, w - o["lr"] * m * rectified * adaptive


def adagrad(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    s = s or {"step": torch.tensor(0.0, dtype=w.dtype), "sum": torch.full_like(w, o["initial_accumulator_value"])}
    g = g + o["weight_decay"] * w
    total = s["sum"] + g**2
    rate = o["lr"] / (1 + s["step"].item() * o["lr_decay"])
    return {"step": s["step"] + 1, "sum": total}, w - rate * g / (total.sqrt() + o["eps"])


def adadelta(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    s = s or zeros(w, "square_avg", "acc_delta")
    g = g + o["weight_decay"] * w
    v = o["rho"] * s["square_avg"] + (1 - o["rho"]) * g**2
    delta = (s["acc_delta"] + o["eps"]).sqrt() / (v + o["eps"]).sqrt() * g
    acc = o["rho"] * s["acc_delta"] + (1 - o["rho"]) * delta**2
    return {"step": s["step"] + 1, "square_avg": v, "acc_delta": acc}, w - o["lr"] * delta


def rmsprop(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    names = ["square_avg"] + ["momentum_buffer"] * (o["momentum"] > 0) + ["grad_avg"] * o["centered"]
    s = s or zeros(w, *names)
    g = g + o["weight_decay"] * w
    v = o["alpha"] * s["square_avg"] + (1 - o["alpha"]) * g**2
    after = {"step": s["step"] + 1, "square_avg": v}
    if o["centered"]:
        after["grad_avg"] = o["alpha"] * s["grad_avg"] + (1 - o["alpha"]) * g
        v = v - after["grad_avg"] ** 2
    step = g / (v.sqrt() + o["eps"])
    if o["momentum"] > 0:
        step = after["momentum_buffer"] = o["momentum"] * s["momentum_buffer"] + step
    return after, w - o["lr"] * step


def rprop(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    s = s or zeros(w, "prev") | {"step_size": torch.full_like(w, o["lr"])}
    (less, more), (low, high) = o["etas"], o["step_sizes"]
    sign = (g * s["prev"]).sign()
    factor = torch.where(sign > 0, more, torch.where(sign < 0, less, 1.0))
    size = (s["step_size"] * factor).clamp(low, high)
    g = torch.where(sign < 0, 0.0, g)
    return {"step": s["step"] + 1, "prev": g, "step_size": size}, w - g.sign() * size


def asgd(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    one = torch.tensor(1.0, dtype=w.dtype)
    s = s or zeros(w, "ax") | {"eta": o["lr"] * one, "mu": one}
    t = s["step"] + 1
    g = g + o["weight_decay"] * w
    w = w * (1 - o["lambd"] * s["eta"]) - s["eta"] * g
    mean = w if s["mu"] == 1 else s["ax"] + (w - s["ax"]) * s["mu"]
    eta = o["lr"] / (1 + o["lambd"] * o["lr"] * t) ** o["alpha"]
    return {"step": t, "eta": eta, "mu": 1 / torch.maximum(one, t - o["t0"]), "ax": mean}, w


def adafactor(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    least, floor = o["eps"][0] or torch.finfo(torch.float32).eps, o["eps"][1]
    n = 1.0 if s is None else s["step"].item() + 1
    kept, share = 1 - n ** o["beta2_decay"], n ** o["beta2_decay"]
    root_mean_square = w.norm() / math.sqrt(w.numel())
    rate = max(floor, root_mean_square.item()) * min(o["lr"], 1 / math.sqrt(n))
    w = w * (1 - o["lr"] * o["weight_decay"])
    rows, columns = (g**2).mean(dim=1, keepdim=True), (g**2).mean(dim=0, keepdim=True)
    if s is not None:
        rows, columns = kept * s["row_var"] + share * rows, kept * s["col_var"] + share * columns
    else:
        rows, columns = share * rows, share * columns
    variance = rows @ columns / rows.mean(dim=0, keepdim=True).clamp(min=least)
    step = g / variance.clamp(min=least**2).sqrt()
    step = step / max(1.0, (step.norm() / math.sqrt(step.numel())).item() / o["d"])
    return {"step": torch.tensor(n, dtype=w.dtype), "row_var": rows, "col_var": columns}, w - rate * step


def muon(w: Tensor, g: Tensor, s: State | None, o: Options) -> tuple[State, Tensor]:
    """Orthogonalize the momentum by Newton-Schulz iterations in bfloat16 (Jordan et al., 2024)."""
    kept = o["momentum"]
    buffer = kept * (s["momentum_buffer"] if s else torch.zeros_like(w)) + (1 - kept) * g
    x = ((1 - kept) * g + kept * buffer if o["nesterov"] else buffer).bfloat16()
    x = x.T if x.size(0) > x.size(1) else x
    x = x / x.norm().clamp(min=o["eps"])
    a, b, c = o["ns_coefficients"]
    for _ in range(int(o["ns_steps"])):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = (x.T if w.size(0) > w.size(1) else x).to(w.dtype)
    rate = o["lr"] * math.sqrt(max(1, w.size(0) / w.size(1)))
    return {"momentum_buffer": buffer}, w * (1 - o["lr"] * o["weight_decay"]) - rate * x
