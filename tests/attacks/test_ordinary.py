"""Ordinary programs work in the sandbox."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.sandbox

OPTIMIZERS = (
    "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "LBFGS", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD",
)  # fmt: skip

PROGRAMS = {
    "fits a line": """
x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0])
m = torch.tensor(1.0, requires_grad=True)
for _ in range(50):
    loss = ((m * x - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        m -= 0.05 * m.grad
        m.grad.zero_()
assert abs(m.item() - 2) < 1e-3
""",
    "trains a network": """
net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.GELU(), torch.nn.Linear(8, 3))
loss = torch.nn.CrossEntropyLoss()(net(torch.randn(16, 4)), torch.randint(3, (16,)))
loss.backward()
assert all(p.grad is not None for p in net.parameters())
""",
    "convolves": """
layers = torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(676, 10)
net = torch.nn.Sequential(*layers)
net(torch.randn(2, 1, 28, 28)).logsumexp(1).sum().backward()
""",
    "uses recurrent layers": """
for kind in (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU):
    out, _ = kind(3, 5, num_layers=2, bidirectional=True)(torch.randn(7, 2, 3))
    out.sum().backward()
""",
    "uses attention": """
torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)(torch.randn(2, 5, 16)).sum().backward()
q = torch.randn(1, 2, 5, 8, requires_grad=True)
F.scaled_dot_product_attention(q, q, q, is_causal=True).sum().backward()
""",
    "uses an embedding": "torch.nn.EmbeddingBag(10, 3)(torch.tensor([[1, 2], [3, 4]])).sum().backward()",
    "uses torch.func": """
from torch.func import grad, vmap, jacrev, hessian, functional_call
assert grad(lambda x: (x ** 3))(torch.tensor(2.0)).item() == 12
assert vmap(grad(lambda x: x ** 2))(torch.arange(3.0)).tolist() == [0, 2, 4]
jacrev(torch.sin)(torch.randn(3)), hessian(lambda x: (x ** 3).sum())(torch.randn(2))
net = torch.nn.Linear(2, 2)
functional_call(net, dict(net.named_parameters()), (torch.ones(1, 2),))
""",
    "differentiates twice": """
x = torch.tensor(2.0, requires_grad=True)
(first,) = torch.autograd.grad(x ** 3, x, create_graph=True)
(second,) = torch.autograd.grad(first, x)
assert second.item() == 12
""",
    "uses forward-mode differentiation": """
import torch.autograd.forward_ad as fwad
with fwad.dual_level():
    dual = fwad.make_dual(torch.tensor(2.0), torch.tensor(1.0))
    assert fwad.unpack_dual(dual ** 2).tangent.item() == 4
""",
    "defines an autograd function": """
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x
    @staticmethod
    def backward(ctx, g):
        return 2 * g * ctx.saved_tensors[0]
x = torch.randn(3, dtype=torch.double, requires_grad=True)
assert torch.autograd.gradcheck(Square.apply, (x,))
""",
    "uses a checkpoint": """
from torch.utils.checkpoint import checkpoint
net = torch.nn.Linear(3, 3)
x = torch.randn(2, 3, requires_grad=True)
for reentrant in (False, True):
    checkpoint(net, x, use_reentrant=reentrant).sum().backward()
""",
    "nests checkpoints": """
from torch.utils.checkpoint import checkpoint
def nested(depth, x):
    return x.sin() if depth == 0 else checkpoint(nested, depth - 1, x, use_reentrant=True)
x = torch.randn(2, requires_grad=True)
nested(40, x).sum().backward()
assert torch.allclose(x.grad, x.cos())
""",
    "does linear algebra": """
a = torch.randn(4, 4, dtype=torch.double, requires_grad=True)
s = a @ a.T + 4 * torch.eye(4, dtype=torch.double)
(torch.linalg.det(s) + torch.linalg.inv(s).sum() + torch.linalg.eigh(s)[0].sum() + torch.linalg.svd(a)[1].sum()).backward()
torch.linalg.solve(s, torch.ones(4, dtype=torch.double)), torch.linalg.qr(a), torch.linalg.cholesky(s)
torch.fft.fft(torch.randn(8))
numpy.linalg.eig(numpy.eye(3))
""",
    "samples from distributions": """
from torch.distributions import Normal, Categorical, kl_divergence, Beta, MultivariateNormal
mean = torch.zeros(2, requires_grad=True)
(Normal(mean, 1.0).rsample() ** 2).sum().backward()
Categorical(logits=torch.zeros(3)).log_prob(torch.tensor(1)), Beta(1.0, 2.0).sample()
MultivariateNormal(torch.zeros(2), torch.eye(2)).sample()
kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0))
""",
    "registers hooks": """
seen = []
x = torch.ones(2, requires_grad=True)
x.register_hook(lambda g: seen.append(g))
net = torch.nn.Linear(2, 1)
net.register_full_backward_hook(lambda *a: seen.append(a))
net.register_forward_hook(lambda *a: seen.append(a))
net(x).sum().backward()
assert len(seen) == 3
""",
    "saves and loads": """
import io
pipe = io.BytesIO()
net = torch.nn.Linear(2, 2)
torch.save(net.state_dict(), pipe)
pipe.seek(0)
net.load_state_dict(torch.load(pipe))
numpy.save(again := io.BytesIO(), numpy.ones(3))
""",
    "loads data": """
from torch.utils.data import DataLoader, TensorDataset
for x, y in DataLoader(TensorDataset(torch.randn(10, 2), torch.randn(10)), batch_size=4, shuffle=True):
    (x.sum() + y.sum()).item()
""",
    "uses a learning rate scheduler": """
optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, StepLR
for kind in (StepLR, CosineAnnealingLR, ExponentialLR):
    scheduler = kind(optimizer, 2)
    optimizer.step(); scheduler.step()
""",
    "normalizes weights and clips gradients": """
from torch.nn.utils import clip_grad_norm_, parametrizations, parameters_to_vector
net = parametrizations.weight_norm(torch.nn.Linear(2, 2))
net(torch.ones(1, 2)).sum().backward()
clip_grad_norm_(net.parameters(), 1.0), parameters_to_vector(net.parameters())
""",
    "uses sparse and complex numbers": """
(torch.eye(3).to_sparse() @ torch.randn(3, 2, requires_grad=True)).sum().backward()
torch.randn(3, dtype=torch.cfloat, requires_grad=True).abs().sum().backward()
""",
    "uses half precision": """
with torch.autocast("cpu", dtype=torch.bfloat16):
    torch.nn.Linear(4, 4)(torch.randn(2, 4)).sum().backward()
""",
    "uses einsum": "torch.einsum('ij,jk->i', torch.ones(1, 4, requires_grad=True), torch.ones(4, 1)).sum().backward()",
    "imports the standard library": """
import argparse, ast, asyncio, bisect, calendar, cmath, collections, colorsys, configparser, contextlib, copy, csv, dataclasses
import datetime, decimal, difflib, enum, fractions, functools, graphlib, hashlib, heapq, html, inspect, io, itertools, json
import locale, logging, math, operator, pathlib, pickle, pprint, queue, random, re, secrets, shlex, shutil, statistics, string
import struct, tempfile, textwrap, threading, time, timeit, traceback, types, typing, unicodedata, urllib.parse, uuid, warnings
import weakref, xml.etree.ElementTree, zipfile, zlib, zoneinfo
time.sleep(0.01); uuid.uuid4(); random.random(); secrets.token_hex(); datetime.datetime.now()
json.loads("[1]"); time.localtime()
""",
    "uses numpy": """
rng = numpy.random.default_rng(0)
a = rng.normal(size=(3, 3))
torch.from_numpy(a).requires_grad_().sum().backward()
numpy.fft.fft(a), numpy.polynomial.Polynomial([1, 2])(3), a.astype("float32").tobytes(), numpy.linalg.svd(a)
""",
    "multiplies large matrices": "x = torch.randn(1000, 1000, requires_grad=True); (x @ x).sum().backward()",
    "recurses deeply": """
import sys
sys.setrecursionlimit(50_000)
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
assert depth(20_000) == 20_000
""",
    "makes a graph a hundred thousand deep": """
x = torch.ones(1, requires_grad=True)
y = x
for _ in range(100_000):
    y = y + 1
y.backward()
del y
""",
    "catches an exception": """
try:
    torch.ones(2) @ torch.ones(3)
except RuntimeError as error:
    assert "inconsistent" in str(error) or "size" in str(error)
""",
}
"""Programs that work in every mode."""

WITH_FILES = {
    "compiles with the eager backend": """
f = torch.compile(lambda x: (x.sin() * x.cos()).sum(), backend="eager")
x = torch.randn(3, requires_grad=True)
f(x).backward()
""",
    "traces with torch.fx": """
import torch.fx
class Net(torch.nn.Module):
    def forward(self, x): return x.relu() + 1
torch.fx.symbolic_trace(Net())(torch.ones(2))
""",
    "exports a module": """
class Net(torch.nn.Module):
    def forward(self, x): return x.relu() + 1
torch.export.export(Net(), (torch.ones(2),))
""",
    "traces with torch.jit": "torch.jit.trace(lambda x: x * 2 + 1, torch.ones(2))(torch.ones(3))",
    "prints a traceback with source lines": """
import statistics, traceback
try:
    statistics.mean([])
except Exception:
    assert "raise StatisticsError" in traceback.format_exc()
""",
}
"""Programs that read the sources of the standard library or of PyTorch, which is possible in mode ``full`` only."""


def run(runner: Any, program: str) -> None:
    outcome = runner.run("import numpy, torch\nimport torch.nn.functional as F\n" + program, wall_seconds=20.0)
    assert outcome.status == "done", outcome.failure and outcome.failure.traceback


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_works_if_it(runner: Any, name: str) -> None:
    run(runner, PROGRAMS[name])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_works(runner: Any, name: str) -> None:
    program = f"""
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.{name}(net.parameters())
x = torch.randn(8, 3)
def closure():
    optimizer.zero_grad()
    loss = (net(x) ** 2).mean()
    loss.backward()
    return loss
for _ in range(3):
    optimizer.step(closure)
"""
    run(runner, program)


@pytest.mark.parametrize("runner", ["full"], indirect=True)
@pytest.mark.parametrize("name", WITH_FILES)
def test_a_program_works_in_mode_full_if_it(runner: Any, name: str) -> None:
    run(runner, WITH_FILES[name])
