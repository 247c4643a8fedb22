"""Compare the answers of two checkouts to the same requests byte for byte, and the texts in them separately.

``same_answers.py save FOLDER`` starts the server of its own checkout, makes every request of :func:`ask_all`, and writes each
answer to a file: the request, the status, the headers and the body. :data:`RANDOM` replaces random values and times by names.
``same_answers.py compare FOLDER FOLDER`` reports the answers that differ. It exits with status 1 if any differs in more than
texts for people: the JSON keys of :data:`TEXTS` and the texts of a page. ``--added KEY`` ignores a key that only the second
checkout has. Without a command, the program saves twice and compares the two.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import hashlib
import importlib.util
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from _common import connect, started

ROOT: Final = Path(__file__).resolve().parent.parent
SETTINGS: Final = {"TAPEDECK_CONCURRENT": "2", "TAPEDECK_LIMIT_WALL_SECONDS": "20", "TAPEDECK_LIMIT_NODES": "4000"}
"""Settings of the server: a busy machine must not change an answer, and a small graph must exceed the limit of nodes."""

# -- what is normalised

SKIPPED_HEADERS: Final = ("date", "content-length")
"""Headers that depend on the time."""
RANDOM: Final[tuple[tuple[str, bytes, bytes], ...]] = (
    ("owner keys", rb"\b[0-9a-f]{32}\.[\w-]{43}", b"<owner key>"),
    ("ids of other runs", rb"\b[0-9a-f]{32}\b", b"<run>"),
    ("dates", rb"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", b"<date>"),
    ("durations of runs", rb'("duration_ms":)[\d.e-]+', rb'\1"<duration>"'),
    ("durations on a page", rb"\bin \d+ ms\b", b"in <duration> ms"),
    ("cursors of a list", rb"\b\d{9,}\.\d+(?::|%3A)\d+\b", b"<cursor>"),
    ("etags, which depend on dates", rb'W/"[0-9a-f]{24}"', b'W/"<etag>"'),
    ("positions in a stream, which depend on the time", rb"(> Last-Event-ID: )\d+", rb"\1<id>"),
    ("the port of the server", rb"(127\.0\.0\.1(?::|%3A))\d+", rb"\1<port>"),
    ("nonces", rb"('nonce-|<meta name=\"csp-nonce\" content=\")[\w-]{22}", rb"\1<nonce>"),
    ("folders of installed packages", rb"[\w./-]+/lib/python3\.\d+/site-packages", b"<packages>"),
    ("hashes in file names", rb"(/static/[\w.-]+-)[0-9A-Z]{8}(\.\w)", rb"\1<hash>\2"),
)
"""Random values and times: a description, the pattern, and the replacement. See :func:`gathered` for streams."""
TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "why": (),
    "message": ("why",),  # of a finding, not of an exception
    "title": ("edits", "detail", "slug"),  # of a fix, a problem or an example, not of a schema
    "group": ("slug",),
    "detail": (),
    "description": (),
    "summary": (),
    "sentence": (),
    "reason": (),
    "fixed": (),
    "report": (),
}
"""JSON keys whose text is for people: anywhere, or only beside one of the keys listed."""
TEXT_ATTRIBUTES: Final = ("aria-label", "title", "alt", "placeholder")
"""HTML attributes whose text is for people."""

# -- the programs

PROGRAMS: Final = (
    "anomaly_and_checks", "autocast", "caught", "checkpoint_in_modules", "checkpoints", "complex_gradients", "coroutines",
    "custom_function", "custom_functions", "data_updates", "dcgan", "deep_chain", "errors_caught", "fails_inplace_views",
    "fails_not_scalar", "fails_saved_modified", "forward_mode", "functional_transforms", "gan", "grad_arguments", "grad_modes",
    "gru_characters", "higher_order", "hooks", "inplace_views", "late_leaves", "lbfgs", "lstm_tagger", "metalearning",
    "micro_batches", "multi_output_ops", "numpy_shared", "optimizer_in_backward", "own_optimizers", "parametrized",
    "random_numbers", "reinforce", "saved_tensor_hooks", "scaler_and_clipping", "second_derivative", "several_roots",
    "sparse_and_complex", "tied_weights", "trainer", "transformer_layer", "transforms",
)  # fmt: skip
"""The programs of ``tests/programs`` to run. Every example of the gallery runs too."""

X: Final = "import torch\nx = torch.ones(3, requires_grad=True)\n"
W: Final = "import torch\nw = torch.tensor(3., requires_grad=True)\n"
DESCENT: Final = "    loss.backward()\n    with torch.no_grad():\n        w -= 0.1 * w.grad\n"
NET: Final = (
    "import torch\nfrom torch import nn\ntorch.manual_seed(0)\nx = torch.randn(16, 4)\ny = x.sum(1, keepdim=True)\n"
    "net = nn.Sequential({})\n{}optimizer = torch.optim.SGD(net.parameters(), lr=0.1)\nfor step in range(25):\n"
    "    optimizer.zero_grad()\n    loss = ((net(x) - y) ** 2).mean()\n    loss.backward()\n    optimizer.step()\n"
)
SCALE: Final = (
    "class Scale(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, a, b):\n"
    "        ctx.save_for_backward(a, b)\n        return a * b\n    @staticmethod\n    def backward(ctx, g):\n"
    "        a, b = ctx.saved_tensors\n        return {}\n"
)
FINDINGS: Final[dict[str, str]] = {
    "leaf-rebound": f"{W}for i in range(4):\n    loss = (w - 1) ** 2\n    loss.backward()\n    w = w - 0.1 * w.grad\n",
    "leaf-kept": f"{W}for i in range(5):\n    loss = (w - 1) ** 2\n{DESCENT}    w.grad = None\n",
    "grad-accumulated": f"{W}for i in range(8):\n    loss = (w - 1) ** 2\n{DESCENT}",
    "broadcast-both": "import torch\nfrom torch import nn\ntorch.manual_seed(0)\nx = torch.linspace(-1, 1, 10).unsqueeze(1)\n"
    "y = 2 * x.squeeze() + 1\nnet = nn.Linear(1, 1)\npred = net(x)\nloss = ((pred - y) ** 2).mean()\nloss.backward()\n",
    "requires-grad-late": "import torch\nx = torch.tensor(3.)\ny = x ** 2\nz = 2 * y\nx.requires_grad_()\nz.backward()\n",
    "requires-grad-late-warned": f"{W}b = torch.tensor(1.)\ny = w * 2 + b\nb.requires_grad_()\n(y ** 2).mean().backward()\n",
    "non-leaf-parameter": "import torch\nw = torch.ones(3, requires_grad=True) / 9\ntorch.optim.SGD([w], lr=0.1)\n",
    "data-update": f"{W}for i in range(4):\n    w.grad = None\n    ((w - 1) ** 2).backward()\n    w.data -= 0.1 * w.grad\n",
    "gradient-modified": f"{X}y = x * 2\ny.register_hook(lambda g: g.clamp_(-1, 1))\n((y + x) ** 2).sum().backward()\n",
    "diverging": f"{W}x = torch.linspace(-3, 3, 20)\noptimizer = torch.optim.SGD([w], lr=0.5, momentum=0.5)\n"
    "for step in range(40):\n    optimizer.zero_grad()\n    loss = ((w * x - 2 * x) ** 2).mean()\n    loss.backward()\n"
    "    optimizer.step()\n",
    "vanishing": NET.format(
        f"nn.Linear(4, 8), nn.Sigmoid(), {'nn.Linear(8, 8), nn.Sigmoid(), ' * 7}nn.Linear(8, 1)",
        "",
    ),
    "dead-relu": NET.format(
        "nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)", "with torch.no_grad():\n    net[0].bias.fill_(-100.)\n"
    ),
    "unused-parameter": f"{X}u = torch.ones(2, requires_grad=True)\nopt = torch.optim.Adam([x, u])\nfor i in range(5):\n"
    "    opt.zero_grad()\n    x.sum().backward()\n    opt.step()\n",
    "nan-origin-slope": f"{X}y = torch.where(x > 1, torch.sqrt(x - 1), torch.zeros(3))\ny.sum().backward()\n",
    "nan-origin-value": f"{X}p = x - torch.tensor([0., 1., 0.])\nloss = -torch.log(p).mean()\nloss.backward()\n",
    "nan-origin-given": f"{X}d = torch.tensor([1., float('nan'), 3.])\n((x * d) ** 2).mean().backward()\n",
    "nan-origin-hook": f"{X}y = x * 2\ny.register_hook(lambda g: g / 0)\ny.sum().backward()\n",
    "nan-origin-update": f"{X}opt = torch.optim.SGD([x], lr=float('inf'))\nfor i in range(3):\n    loss = (x * x).sum()\n"
    "    opt.zero_grad()\n    loss.backward()\n    opt.step()\n",
    "saved-modified": f"{X}y = x.exp()\ny.add_(1)\ny.sum().backward()\n",
    "saved-modified-by-step": "import torch\na = torch.ones(2, 2, requires_grad=True)\nopt = torch.optim.SGD([a], lr=0.1)\n"
    "loss = (a @ a @ a).sum()\nloss.backward(retain_graph=True)\nopt.step()\nloss.backward()\n",
    "saved-modified-function": f"{X}{SCALE.format('g * b, g * a')}c = torch.ones(3)\ny = Scale.apply(x, c)\nc.add_(1)\n"
    "y.sum().backward()\n",
    "backward-twice": f"{X}loss = (x * x).sum()\nloss.backward()\nloss.backward()\n",
    "backward-twice-carried": f"{X}h = torch.ones(3)\nfor i in range(3):\n    h = torch.tanh(h * x)\n    h.sum().backward()\n",
    "no-grad-path": "import torch\ny = torch.ones(3)\ny.sum().backward()\n",
    "no-grad-path-detached": f"{X}loss = (x * 2).sum()\nloss = loss.detach()\nloss.backward()\n",
    "no-grad-path-item": f"{X}loss = (x * 2).sum().item()\nloss.backward()\n",
    "no-grad-path-unused": f"{X}z = torch.ones(2, requires_grad=True)\ntorch.autograd.grad((x * 2).sum(), z)\n",
    "no-grad-path-inference": f"{X}with torch.inference_mode():\n    (x * 2).sum().backward()\n",
    "not-scalar": f"{X}y = x * 2\ny.backward()\n",
    "integer-grad": "import torch\na = torch.tensor([1, 2, 3], requires_grad=True)\n",
    "inplace-on-leaf": f"{X}x += 1\n",
    "inplace-on-leaf-view": f"{X}part = x[:2]\npart.zero_()\n",
    "shape-mismatch": f"{X}(x * torch.ones(2)).sum().backward()\n",
    "shape-mismatch-product": "import torch\nnet = torch.nn.Linear(3, 2)\nnet(torch.ones(4, 5))\n",
    "backward-failed-shape": f"{X}(x * 2).sum().backward(torch.ones(2))\n",
    "backward-failed-hook": f"{X}def hook(g):\n    return {{}}['no']\ny = x * 2\ny.register_hook(hook)\ny.sum().backward()\n",
    "backward-failed-count": f"{X}{SCALE.format('g * b')}Scale.apply(x, x).sum().backward()\n",
    "backward-failed-raised": f"{X}{SCALE.format('g * b, 1 / 0')}Scale.apply(x, x).sum().backward()\n",
    "backward-failed-anomaly": "import torch\nx = torch.zeros(2, requires_grad=True)\n"
    "with torch.autograd.set_detect_anomaly(True):\n    y = x.sqrt() * 0\n    y.sum().backward()\n",
    "backward-failed-caught": f"{X}y = x * 2\ny.register_hook(lambda g: 3)\ntry:\n    y.sum().backward()\n"
    "except TypeError as error:\n    print(error)\n(x * 3).sum().backward()\n",
    "non-leaf-grad": f"{X}for i in range(3):\n    y = x * 2\n    y.sum().backward()\n    print(y.grad)\n",
    "implicit-pass": f"{X}y = x * 2\n",
    "implicit-pass-failed": f"{X}{SCALE.format('1 / 0')}y = Scale.apply(x, x)\n",
    "plotting-stand-in": f"{X}import matplotlib.pyplot as plt\nx.sum().backward()\nplt.plot(x.grad)\nplt.show()\n",
    "graph-too-large": f"{X}y = x\nfor i in range(4200):\n    y = y * 1.0001\ny.sum().backward()\n(x * 2).sum().backward()\n",
}
"""A program for each code of a finding, and for variants of some."""
SLEEPS: Final = f"{X}x.sum().backward()\nimport time\ntime.sleep(100)\n"
ENDS: Final[dict[str, str]] = {
    "nothing": "1 + 1\n",
    "no-torch": "import math\nfor i in range(3):\n    r = math.sqrt(i)\n    print(r)\n",
    "syntax": "import torch\nx = torch.ones(3\ny = 2\n",
    "raises": f"{X}x.sum().backward()\nprint('so far')\nraise ValueError('no\\nmore')\n",
    "in-a-function": f"{X}def f(a):\n    return a.no_such()\nf(x)\n",
    "exits": f"{X}x.sum().backward()\nimport sys\nsys.exit(3)\n",
    "exits-at-once": f"{X}x.sum().backward()\nprint('so far', flush=True)\nimport os\nos._exit(3)\n",
    "no-module": "import no_such_module_at_all\n",
    "no-files": "open('/etc/passwd').read()\n",
    "no-network": "import socket\nsocket.create_connection(('127.0.0.1', 9))\n",
    "no-memory": f"{X}x.sum().backward()\ny = torch.ones(2**33)\n",
    "prints": f"{X}x.sum().backward()\nfor i in range(30):\n    print('=' * 10_000)\n",
    "prints-too-much": f"{X}x.sum().backward()\nprint('=' * 9_000_000)\n",
    "strange-text": f"{X}print('\\ud800 \\x1b[1m \\u202e \\U0001f600 <b>&')\n(x * 2).sum().backward()  # “ü”\n'<script>'\n",
    "dtypes": f"{X}y = (x.double() * 2).to(torch.complex64)\nz = torch.view_as_real(y).half().sum()\nz.backward()\n"
    "torch.tensor([True]), torch.arange(3), torch.empty(0), torch.tensor(float('-inf'))\n",
}
"""Programs without a graph, programs that fail or reach a limit, and unusual texts and dtypes."""

FIT: Final = """\
import torch
torch.manual_seed(1)
x = torch.linspace(-1, 1, 12).unsqueeze(1)
y = x ** 2 - 0.3
net = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
gain = torch.tensor(1.0, requires_grad=True)
optimizer = torch.optim.AdamW([{"params": net.parameters(), "lr": 0.05}, {"params": [gain], "lr": 0.01}], weight_decay=0.01)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.98)
for step in range(60):
    out = gain * net(x)
    loss = ((out - y) ** 2).mean()
    penalty = 0.001 * sum((p ** 2).sum() for p in net.parameters())
    optimizer.zero_grad()
    loss.backward(retain_graph=True)
    penalty.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    scheduler.step()
    if step % 20 == 0:
        print(step, round(loss.item(), 4))
loss, gain
"""
"""The program whose run gets every request."""
LINE: Final = """\
import torch
w = torch.tensor([[1., 2.], [0.5, -1.]], requires_grad=True)
b = torch.tensor(0.5, requires_grad=True)
out = torch.relu(w @ torch.tensor([1., 3.]) + b)
loss = (out ** 2).sum()
loss.backward()
"""
"""The program whose run gets the replays."""
WRONG: Final = (
    "import torch\nclass Tripled(torch.autograd.Function):\n    forward = staticmethod(lambda ctx, x: 3 * x)\n"
    "    backward = staticmethod(lambda ctx, grad: 2 * grad)\nw = torch.ones(2, 2, requires_grad=True)\n"
    "v = torch.zeros(2, requires_grad=True)\n(Tripled.apply(w).sum() + v.sqrt().sum()).backward()\n"
)
CELLS: Final[dict[str, Any]] = {
    "nbformat": 4,
    "metadata": {"language_info": {"name": "python"}},
    "cells": [
        {"cell_type": "markdown", "source": "# A notebook"},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "import torch\n", "x = torch.ones(2, requires_grad=True)"]},
        {"cell_type": "code", "source": "print(x)\n!ls\ny = (x * 3).sum()\ny"},
        {"cell_type": "code", "source": "y.backward()\nx.grad"},
        {"cell_type": "code", "source": "%%bash\nls"},
    ],
}
TRAININGS: Final[dict[str, dict[str, Any]]] = {
    "sgd": {
        "parameters": {"m": 1, "b": [0.0]},
        "data": {"x": [1, 2, 3], "y": [2, 4, 6]},
        "loss": "((m * x + b - y) ** 2).mean()",
        "optimizer": {"name": "SGD", "lr": 0.01, "momentum": 0.5},
        "steps": 20,
    },
    "adam": {"parameters": {"w": [[1, 2], [3, 4]]}, "loss": "(w ** 2).sum()", "optimizer": "Adam", "steps": 5},
    "lbfgs": {"parameters": {"w": [3.0, -1.0]}, "loss": "(w ** 4).sum()", "optimizer": {"name": "LBFGS", "lr": 1}, "steps": 2},
    "shapes": {
        "parameters": {"m": 1},
        "data": {"x": [1, 2, 3], "y": [2, 4]},
        "loss": "((m * x - y) ** 2).mean()",
        "optimizer": "SGD",
        "steps": 3,
    },
}
EXPRESSIONS: Final[dict[str, dict[str, Any]]] = {
    "mean": {"expression": "(2 * (x + 2) ** 2).mean()", "inputs": {"x": [1, 2, 3]}},
    "matrix": {"expression": "x @ w", "inputs": {"x": [[1, 2], [3, 4]], "w": {"values": [0.5, 1], "requires_grad": False}}},
    "modules": {"expression": "F.softplus(a).sum() * math.pi", "inputs": {"a": {"values": [0.1], "dtype": "float64"}}},
    "wrong": {"expression": "(x ** 2).sum(", "inputs": {"x": 1}},
}

# -- the client


@dataclass(frozen=True)
class Answer:
    """An answer as received."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def address(self) -> str:
        """The address of the resource that it describes."""
        return self.headers.get("location", "")

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """A client that saves each answer under the name of its request."""

    def __init__(self, url: str, folder: Path) -> None:
        self._connection: HTTPConnection = connect(url)
        self._folder = folder
        self._runs: dict[bytes, bytes] = {}
        self.key = ""
        """The owner key, once there is one."""

    def ask(
        self, name: str | None, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Make a request, and save the answer if the request has a name."""
        sent = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        sent |= headers or {}
        self._connection.request(method, path, body, sent)
        response = self._connection.getresponse()
        headers = {key.lower(): value for key, value in response.getheaders()}
        answer = Answer(response.status, headers, response.read())
        if (made := re.fullmatch(r"/api/v1/runs/([0-9a-f]{32})", answer.address)) is not None:
            self._runs.setdefault(made[1].encode(), f"<run {name or len(self._runs)}>".encode())
        if name is not None:
            self._keep(name, f"{method} {path}", sent, body, answer)
        if answer.status == 413:  # the server did not read the body
            self._connection.close()
        return answer

    def get(self, name: str | None, path: str, **headers: str) -> Answer:
        """Send a GET request. In the names of headers, underscores become hyphens."""
        return self.ask(name, "GET", path, headers=_spelled(headers))

    def post(self, name: str | None, path: str, body: Any, **headers: str) -> Answer:
        """Send a POST request: bytes unchanged, any other value as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask(name, "POST", path, data, {"Content-Type": "application/json"} | _spelled(headers))

    def run(self, name: str | None, asked: Any, path: str = "/api/v1/runs", **headers: str) -> Answer:
        """Run a program to its end."""
        return self.post(name, path, asked, **({"Prefer": "wait=50"} | headers))

    def until(self, run: str, reached: Callable[[Any], bool]) -> None:
        """Wait until the run fulfils a condition."""
        end = time.monotonic() + 60
        while not reached(self.get(None, run).json()):
            if time.monotonic() > end:
                raise SystemExit(f"{run} did not get so far within a minute.")
            time.sleep(0.2)

    def all_of(self, name: str, asked: Any) -> Answer:
        """Run a program; request its steps, its first graph and the picture of its last pass."""
        answer = self.run(f"run-{name}", asked)
        run = answer.json()
        if answer.status != 201:
            raise SystemExit(f"{name} was not run to its end: {answer.status} {answer.body[:300].decode()}")
        if run["steps"]:
            self.get(f"steps-{name}", f"{answer.address}/steps?count=1000")
        if run["graphs"]:
            self.get(f"graph-{name}", f"{answer.address}/graphs/g0")
        if run["passes"]:
            self.get(f"picture-{name}", f"{answer.address}/passes/{run['passes'] - 1}/graph.svg")
        return answer

    def _keep(self, name: str, line: str, sent: Mapping[str, str], body: bytes | None, answer: Answer) -> None:
        asked = [line, *(f"{key}: {value}" for key, value in sorted(sent.items()))]
        if body is not None:
            asked.append(f"{len(body)} bytes, {hashlib.blake2b(body, digest_size=12).hexdigest()}")
        headers = [f"{key}: {value}" for key, value in sorted(answer.headers.items()) if key not in SKIPPED_HEADERS]
        body = answer.body
        kind = answer.headers.get("content-type", "")
        if kind.startswith("text/event-stream"):
            body = gathered(body)
        if not kind.startswith(PACKED):
            body = self.named(body)
        head = self.named("\n".join([*(f"> {each}" for each in asked), str(answer.status), *headers]).encode())
        file = self._folder / f"{name}.answer"
        if file.exists():
            raise SystemExit(f"There are two requests {name}.")
        file.write_bytes(head + b"\n\n" + body)

    def named(self, text: bytes) -> bytes:
        """Return the text with :data:`RANDOM` applied."""
        for id, name in self._runs.items():
            text = text.replace(id, name) if id in text else text
        for _, found, written in RANDOM:
            text = re.sub(found, written, text)
        return text


PACKED: Final = ("application/msgpack", "image/png", "application/pdf")


def _spelled(headers: Mapping[str, str]) -> dict[str, str]:
    return {key.replace("_", "-"): value for key, value in headers.items()}


def gathered(stream: bytes) -> bytes:
    """Return a stream of events without parts that depend on timing: ids, and how lines and output are split into events.

    >>> print(gathered(b'event: output\\ndata: {"text":"a","cell":0}\\nid: 1\\n\\nevent: output\\n'
    ...                b'data: {"text":"b","cell":0}\\nid: 2\\n\\nevent: end\\ndata: {}\\nid: 3\\n\\n').decode())
    event: end
    data: {}
    <BLANKLINE>
    event: output
    data: {"0":"ab"}
    <BLANKLINE>
    event: lines
    data: []
    <BLANKLINE>
    <BLANKLINE>
    """
    kept: list[str] = []
    lines: dict[str, str] = {}
    output: dict[str, str] = {}
    for event in stream.decode().split("\n\n"):
        fields = dict(field.partition(": ")[::2] for field in event.split("\n"))
        match fields.get("event"):
            case "lines":
                for line in read(fields["data"])["lines"]:
                    lines[written([line["file"], line["line"]])] = written(line)
            case "output":
                printed = read(fields["data"])
                output[str(printed["cell"])] = output.get(str(printed["cell"]), "") + printed["text"]
            case None:
                pass  # a comment, or the end of the stream
            case _:
                kept.append("\n".join(field for field in event.split("\n") if not field.startswith("id: ")))
    gathered_events = [f"event: output\ndata: {written(output)}", f"event: lines\ndata: [{','.join(lines.values())}]"]
    return "\n\n".join([*kept, *gathered_events, ""]).encode()


# -- the requests


def ask_all(client: Client) -> None:
    """Make every request, always in the same order."""
    slow = begin(client, SLEEPS)  # without an owner, so that no list of runs includes it
    new_owner(client)
    for example in client.get("examples", "/api/v1/examples").json()["examples"]:
        client.all_of(f"example-{example['slug']}", {"program": example["program"]})
    for name in PROGRAMS:
        client.all_of(f"program-{name}", {"program": (ROOT / "tests" / "programs" / f"{name}.py").read_text()})
    for name, program in FINDINGS.items():
        client.all_of(f"finding-{name}", {"program": program})
    for name, program in ENDS.items():
        client.all_of(f"end-{name}", {"program": program})
    for name, expression in EXPRESSIONS.items():
        client.all_of(f"expression-{name}", expression)
    for name, training in TRAININGS.items():
        client.all_of(f"training-{name}", {"training": training})
    forms(client)
    everything(client)
    replays(client)
    pages(client)
    mistakes(client)
    client.until(slow, lambda run: run["status"] != "running")
    client.get("slow", slow)


def begin(client: Client, program: str) -> str:
    """Start a long run, wait for its first pass, and return the path of the run."""
    run = client.run(None, {"program": program}, Prefer="wait=0").address
    client.until(run, lambda state: state["passes"] > 0)
    return run


def new_owner(client: Client) -> None:
    """Obtain an owner key and use it from then on."""
    answer = client.run("owner", {"program": f"{X}x.sum().backward()\n"})
    client.ask("owner-others-delete", "DELETE", answer.address)
    client.key = answer.json()["owner_key"]
    client.ask("owner-deletes", "DELETE", answer.address)
    client.get("owner-deleted", answer.address)
    client.get("owner-unknown", "/api/v1/runs", Authorization="Bearer 0123.abc")


def forms(client: Client) -> None:
    """Request notebooks, raw bodies, other media types, and runs with options."""
    raw, picture, text = {"Content_Type": "text/x-python"}, {"Accept": "image/svg+xml"}, {"Accept": "text/plain"}
    client.all_of("notebook", {"notebook": CELLS})
    seed = (ROOT / "tests" / "seed" / "autograd_and_backpropagation.ipynb").read_bytes()
    client.run("notebook-raw", seed, "/api/v1/runs?values=100", Content_Type="application/x-ipynb+json")
    client.run("raw", FIT.encode(), "/api/v1/runs?seed=3&capture=norms&values=8", **raw)
    client.run("raw-not-kept", LINE.encode(), "/api/v1/runs?store=false", **raw)
    client.run("raw-mark", b"\xef\xbb\xbf" + LINE.replace("\n", "\r\n").encode(), **raw)
    for capture in ("norms", "graph"):
        client.all_of(f"capture-{capture}", {"program": FIT, "capture": capture})
    client.all_of("values-none", {"program": FIT, "values": 0})
    client.all_of("seeded", {"program": "import random, numpy, torch\nrandom.random(), numpy.random.rand(2), torch.rand(3)\n",
                             "seed": 2**62})  # fmt: skip
    client.run("as-picture", {"program": LINE}, "/api/v1/runs?theme=dark&direction=LR", **picture)
    client.run("as-picture-none", {"program": "1 + 1\n"}, **picture)
    client.run("as-picture-failed", {"program": "import torch\ntorch.no_such\n", "store": False}, **picture)
    client.run("as-text", {"program": LINE, "store": False}, **text)
    client.run("as-text-none", {"program": ENDS["syntax"]}, **text)
    once = {"Idempotency_Key": "one"}
    client.run("once", {"program": LINE}, **once)
    client.run("once-again", {"program": LINE}, **once)
    client.run("once-another", {"program": FIT}, **once)
    begun = begin(client, SLEEPS)
    client.ask("stopped", "POST", f"{begun}/cancel")
    client.ask("stopped-again", "POST", f"{begun}/cancel")
    listed = client.get("list", "/api/v1/runs?count=3").json()
    client.get("list-next", f"/api/v1/runs?{urlencode({'count': 2, 'after': listed['next']})}")
    client.get("list-all", "/api/v1/runs?count=200")
    client.get("list-nowhere", "/api/v1/runs?after=there")


def everything(client: Client) -> None:
    """Make every request about one run."""
    run = client.run("fit", {"program": FIT}).address
    packed = {"Accept": "application/msgpack"}
    kept = client.get("fit-run", run)
    client.get("fit-run-known", run, If_None_Match=kept.headers["etag"])
    client.ask("fit-run-head", "HEAD", run)
    client.ask("fit-run-cancel", "POST", f"{run}/cancel")
    client.get("fit-steps", f"{run}/steps?start=5&count=10")
    client.get("fit-steps-end", f"{run}/steps?start=58&count=10")
    client.get("fit-steps-past", f"{run}/steps?start=60")
    client.get("fit-steps-packed", f"{run}/steps?start=5&count=40", **packed)
    for index in (0, 1, 59, 60):
        client.get(f"fit-step-{index}", f"{run}/steps/{index}")
    for graph in ("g0", "g1", "g2", "0"):
        client.get(f"fit-graph-{graph}", f"{run}/graphs/{graph}")
    for index in (0, 1, 117, 120):
        client.get(f"fit-pass-{index}", f"{run}/passes/{index}")
    for node in client.get("fit-graph", f"{run}/graphs/g0").json()["nodes"]:
        client.get(f"fit-node-{node['id']}", f"{run}/passes/4/nodes/{node['id']}")
    client.get("fit-node-none", f"{run}/passes/4/nodes/n99")
    fields = ",".join(f"{what}.{of}" for what in ("value", "arrived", "used", "edge") for of in ("min", "max", "mean", "norm"))
    counts = "value.zeros,arrived.nan,edge.inf,value.shape,edge.dtype,used.values"
    client.get("fit-frames", f"{run}/frames")
    client.get("fit-frames-fields", f"{run}/frames?fields={fields}&start=10&count=5")
    client.get("fit-frames-counts", f"{run}/frames?graph=g1&fields={counts}&count=3")
    client.get("fit-frames-packed", f"{run}/frames?fields={fields}", **packed)
    client.get("fit-frames-none", f"{run}/frames?graph=g9")
    client.get("fit-frames-unknown", f"{run}/frames?fields=value.nothing")
    client.get("fit-frames-unpacked", f"{run}/frames?fields=value.values", **packed)
    keys = urlencode([("key", each) for each in (
        "loss", "loss:*", "p0", "p*.grad.norm", "p3.value[2]", "p4.value[1,0]", "p*.state.exp_avg.max", "p1.update.min",
        "p2.contribution.mean", "p3.grad_before.zeros", "p3.grad_used", "p*.lr", "lr", "optimizer.weight_decay", "iteration",
    )])  # fmt: skip
    client.get("fit-series", f"{run}/series")
    client.get("fit-series-keys", f"{run}/series?{keys}")
    client.get("fit-series-part", f"{run}/series?{keys}&start=20&count=10")
    client.get("fit-series-points", f"{run}/series?{keys}&points=12")
    client.get("fit-series-packed", f"{run}/series?{keys}&points=30", **packed)
    client.get("fit-series-none", f"{run}/series?key=p99.grad")
    client.get("fit-series-unknown", f"{run}/series?key=nothing.at.all")
    for theme in ("light", "dark", "auto", "inline", "pink"):
        client.get(f"fit-svg-{theme}", f"{run}/passes/0/graph.svg?theme={theme}")
    for direction in ("BT", "LR", "RL"):
        client.get(f"fit-svg-{direction}", f"{run}/passes/118/graph.svg?direction={direction}&node=n2")
    for form in ("dot", "txt", "png", "pdf", "gif"):
        client.get(f"fit-{form}", f"{run}/passes/118/graph.{form}?theme=dark&direction=LR")
    for form in ("svg", "dot", "txt"):
        client.get(f"fit-structure-{form}", f"{run}/graphs/g1/graph.{form}")
    stream = client.get("fit-events", f"{run}/events")
    last = stream.body.decode().rpartition("id: ")[2].strip()
    client.get("fit-events-known", f"{run}/events", Last_Event_ID=last)
    client.get("fit-events-rest", f"{run}/events", Last_Event_ID=str(int(last) - 1))
    failed = client.run("failed", {"program": FINDINGS["backward-failed-raised"]}).address
    client.get("failed-events", f"{failed}/events")
    client.get("failed-pass", f"{failed}/passes/0")
    client.get("failed-txt", f"{failed}/passes/0/graph.txt")


def replays(client: Client) -> None:
    """Request replays."""
    line = client.run("line", {"program": LINE}).address
    check: dict[str, Any] = {"what": "check", "step": 0}
    surface: dict[str, Any] = {"what": "surface", "step": 0, "parameters": ["b"], "points": 11}
    made = client.post("replay-check", f"{line}/replays", check)
    client.post("replay-check-again", f"{line}/replays", {"step": 0, "what": "check", "elements": 16})
    client.get("replay-read", made.address)
    client.get("replay-events", f"{made.address}/events")
    client.ask("replay-stopped", "POST", f"{made.address}/cancel")
    client.get("replay-none", f"{line}/replays/0123")
    client.post("replay-surface", f"{line}/replays", surface)
    both = {"parameters": ["w[1, 0]", "b"], "points": 3, "ranges": [[-1, 1], None]}
    client.post("replay-surface-both", f"{line}/replays", surface | both)
    for node in client.get("replay-graph", f"{line}/graphs/g0").json()["nodes"]:
        client.post(f"replay-factors-{node['id']}", f"{line}/replays", {"what": "factors", "step": 0, "node": node["id"]})
    for name, asked in {
        "what": {"what": "dance"},
        "step": check | {"step": 1},
        "pass": check | {"pass": 3},
        "parameter": check | {"parameters": ["v"]},
        "elements": check | {"elements": 0},
        "field": check | {"points": 3},
        "element": surface | {"parameters": ["w"]},
        "range": surface | {"ranges": [[1, 0]]},
        "points": surface | {"points": 1000},
        "list": [check],
    }.items():
        client.post(f"replay-wrong-{name}", f"{line}/replays", asked)
    client.post("replay-unreadable", f"{line}/replays", b"{")
    client.post("replay-too-large", f"{line}/replays", b" " * 100_001)
    wrong = client.run("replayed-wrong", {"program": WRONG}).address
    client.post("replay-of-wrong", f"{wrong}/replays", check)
    fit = client.run("replayed-fit", {"program": FIT}).address
    client.post("replay-of-fit", f"{fit}/replays", check | {"step": 12, "pass": 24, "elements": 4})
    client.post("replay-path", f"{fit}/replays", surface | {"step": 30, "pass": 60, "parameters": ["gain"]})
    without_numbers = client.run("replayed-without-numbers", {"program": FIT, "capture": "graph"}).address
    client.post("replay-without-numbers", f"{without_numbers}/replays", check)


def pages(client: Client) -> None:
    """Request the pages and the state of the server."""
    run = client.run("paged", {"program": FIT}).address.replace("/api/v1/runs", "/r")
    failed = client.run("paged-failed", {"program": FINDINGS["saved-modified"]}).address.replace("/api/v1/runs", "/r")
    client.get("page-home", "/")
    client.get("page-home-step", "/?step=0&theme=dark&direction=LR&phase=update")
    client.get("page-run", run)
    client.get("page-run-step", f"{run}?step=3&node=n2&phase=forward")
    client.get("page-run-pass", f"{run}?step=3&pass=6")
    client.get("page-run-graph", f"{run}?graph=g1")
    client.get("page-run-failed", failed)
    client.get("page-examples", "/examples")
    client.get("page-docs", "/docs?theme=light")
    client.get("page-none", "/r/none", Accept="text/html")
    client.get("page-wrong", f"{run}?step=soon", Accept="text/html")
    client.get("static-none", "/static/none.js")
    client.get("openapi", "/openapi.json")
    client.get("limits", "/api/v1/limits")
    client.get("ready", "/readyz")
    client.get("alive", "/healthz")
    ask = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    client.ask("other-origin", "OPTIONS", "/api/v1/runs", headers=ask | {"Access-Control-Request-Headers": "Prefer"})
    client.get("other-origin-get", "/api/v1/limits", Origin="https://example.org")


def mistakes(client: Client) -> None:
    """Make requests that fail."""
    for name, asked in {
        "nothing": {},
        "no-object": [1],
        "both": {"program": "1", "expression": "1"},
        "field": {"program": "1", "speed": 2},
        "inputs": {"program": "1", "inputs": {}},
        "empty": {"program": " \n"},
        "no-text": {"program": 1},
        "nul": {"program": "a\0"},
        "seed": {"program": "1", "seed": -1},
        "values": {"program": "1", "values": 10**6},
        "capture": {"program": "1", "capture": "all"},
        "store": {"program": "1", "store": "yes"},
        "too-large": {"program": "#" * 300_000},
        "statement": {"expression": "y = 2"},
        "input-name": {"expression": "1", "inputs": {"2x": 1}},
        "input-ragged": {"expression": "x", "inputs": {"x": [[1], [1, 2]]}},
        "input-dtype": {"expression": "x", "inputs": {"x": {"values": 1, "dtype": "float3"}}},
        "no-cells": {"notebook": {"nbformat": 4, "cells": []}},
        "no-notebook": {"notebook": []},
        "julia": {"notebook": CELLS | {"metadata": {"language_info": {"name": "julia"}}}},
        "no-loss": {"training": {"parameters": {"m": 1}, "optimizer": "SGD", "steps": 1}},
        "no-optimizer": {"training": TRAININGS["adam"] | {"optimizer": "Sgd"}},
        "optimizer-option": {"training": TRAININGS["adam"] | {"optimizer": {"name": "Adam", "speed": 1}}},
        "steps": {"training": TRAININGS["adam"] | {"steps": 10**6}},
        "name": {"training": TRAININGS["adam"] | {"data": {"w": 1}}},
    }.items():
        client.run(f"wrong-{name}", asked)
    client.run("unreadable-json", b"{")
    client.run("unreadable-text", b"\xff", Content_Type="text/x-python")
    client.run("unreadable-notebook", b"\x89", Content_Type="application/x-ipynb+json")
    for name, kind in (("none", ""), ("csv", "text/csv"), ("charset", "text/x-python; charset=latin-1")):
        client.run(f"media-{name}", b"1", Content_Type=kind)
    client.run("media-options", {"program": "1"}, "/api/v1/runs?seed=1")
    client.run("raw-option", b"1", "/api/v1/runs?speed=1", Content_Type="text/x-python")
    client.run("raw-seed", b"1", "/api/v1/runs?seed=much", Content_Type="text/x-python")
    client.run("picture-theme", {"program": "1"}, "/api/v1/runs?theme=pink", Accept="image/svg+xml")
    client.run("key-empty", {"program": "1"}, Idempotency_Key="")
    client.run("body-too-large", b"1", Content_Type="text/x-python", Content_Length=str(10**12))
    for path in ("", "/steps", "/events", "/frames", "/series", "/passes/0", "/passes/0/graph.svg", "/replays/0"):
        client.get(f"no-run{path.replace('/', '-')}", f"/api/v1/runs/{'0' * 32}{path}")
    client.get("no-address", "/api/v2/runs")
    client.get("no-number", f"/api/v1/runs/{'0' * 32}/steps/first")
    client.get("no-parameter", "/api/v1/limits?all=1")
    client.get("no-count", "/api/v1/runs?count=0")
    client.ask("no-method", "PUT", "/api/v1/runs")


# -- data and texts


class Number(str):
    """A number literal of JSON."""

    __slots__ = ()


def read(text: str) -> Any:
    """Parse JSON, keeping number literals."""
    return json.loads(text, parse_float=Number, parse_int=Number)


def written(value: Any) -> str:
    """Write JSON as the server does, so that it reverses :func:`read`."""
    match value:
        case Number():
            return value
        case dict():
            return f"{{{','.join(f'{written(key)}:{written(each)}' for key, each in value.items())}}}"
        case list():
            return f"[{','.join(map(written, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def without_texts(value: Any, texts: list[str], added: Iterable[str] = ()) -> Any:
    """Return JSON without its texts for people, and append those to ``texts``.

    >>> texts: list[str] = []
    >>> without_texts({"message": "It is.", "why": "So.", "error": {"message": "no"}}, texts), texts
    ({'message': '', 'why': '', 'error': {'message': 'no'}}, ['It is.', 'So.'])
    """
    if isinstance(value, list):
        return [without_texts(each, texts, added) for each in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for key, each in value.items():
        if key in added:
            continue
        beside = TEXTS.get(key)
        meant = beside is not None and (not beside or any(other in value for other in beside))
        if meant and isinstance(each, str) and not isinstance(each, Number):
            texts.append(each)
            made[key] = ""
        elif meant and isinstance(each, list) and all(isinstance(one, str) for one in each):
            texts += each
            made[key] = []
        else:
            made[key] = without_texts(each, texts, added)
    return made


def json_apart(text: str, added: Iterable[str] = ()) -> tuple[str, list[str]]:
    """Separate JSON from its texts. Text that is not JSON, or that :func:`written` would change, is all data."""
    texts: list[str] = []
    try:
        value = read(text)
    except ValueError:
        return text, []
    return (written(without_texts(value, texts, added)), texts) if written(value) == text else (text, [])


def svg_apart(text: str) -> tuple[str, list[str]]:
    """Separate a picture from its tooltips and labels for screen readers.

    >>> svg_apart('<g aria-label="m"><title>value 1</title><text>1</text></g>')
    ('<g aria-label=""><title></title><text>1</text></g>', ['m', 'value 1'])
    """
    texts: list[str] = []

    def mask(found: re.Match[str]) -> str:
        texts.append(found[2])
        return found[1] + found[3]

    return re.sub(r"""(aria-label="|<title[^>]*>|<desc[^>]*>)([^"<]*)("|<)""", mask, text), texts


class Page(HTMLParser):
    """Separates a page's elements, pictures and state, which are data, from its texts."""

    def __init__(self, added: Iterable[str] = ()) -> None:
        super().__init__()
        self._added = added
        self.data: list[str] = []
        self.texts: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Add an element."""
        described = ("name", "description") in attrs
        attributes = []
        for name, value in attrs:
            shown = value and ((name in TEXT_ATTRIBUTES and "svg" not in self._inside) or (described and name == "content"))
            if shown:
                self.texts.append(str(value))
            attributes.append(f'{name}="{"" if shown else value}"')
        self.data.append(f"<{' '.join([tag, *attributes])}>")
        if tag in ("svg", "script"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        self.data.append(f"</{tag}>")
        if self._inside[-1:] == [tag]:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        """Add a text."""
        if self._inside[-1:] == ["script"]:
            made, texts = json_apart(data.replace("\\u003c", "<"), self._added) if data.startswith("{") else (data, [])
            self.data.append(made)
            self.texts += texts
        elif self._inside:
            self.data.append(data)
        elif data.strip():
            self.texts.append(" ".join(data.split()))


@dataclass(frozen=True)
class Kept:
    """A saved answer: the whole, its data and its texts for people."""

    whole: bytes
    data: str
    texts: list[str]


def kept(file: Path, added: Iterable[str] = ()) -> Kept:
    """Read a saved answer, without the JSON keys in ``added``."""
    whole = file.read_bytes()
    head, _, body = whole.partition(b"\n\n")
    found = re.search(rb"^content-type: ([\w/+.-]+)", head, re.MULTILINE)
    kind = found[1].decode() if found else ""
    if kind in PACKED:
        return Kept(whole, whole.decode("latin-1"), [])
    texts: list[str] = []
    data = body.decode()
    if kind in ("application/json", "application/problem+json") and body:
        data, texts = json_apart(data, added)
    elif kind == "text/event-stream":
        lines = []
        for line in data.split("\n"):
            name, _, value = line.partition(": ")
            apart, more = json_apart(value, added) if name == "data" else (value, [])
            lines.append(f"{name}: {apart}")
            texts += more
        data = "\n".join(lines)
    elif kind == "image/svg+xml":
        data, texts = svg_apart(data)
    elif kind == "text/html":
        page = Page(added)
        page.feed(data)
        data, texts = "\n".join(page.data), page.texts
    elif kind == "text/plain":
        data, texts = "", data.split("\n")
    return Kept(whole, f"{head.decode()}\n\n{data}", texts)


# -- the commands


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start this checkout's server on a free port, yield its URL once it accepts programs, and stop it afterwards.

    It is started by the command, not by a module, which may have another name in another checkout.
    """
    found = importlib.util.find_spec("tapedeck")
    if found is None or not Path(found.origin or "/").resolve().is_relative_to(ROOT):
        raise SystemExit(f"{sys.executable} has no tapedeck of {ROOT}: run this with the checkout's own .venv/bin/python.")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TAPEDECK_")}
    command = [Path(sys.executable).with_name("tapedeck")]
    with tempfile.TemporaryDirectory() as folder, started(command, folder, plain | SETTINGS) as (url, _):
        yield url


def save(folder: Path) -> None:
    """Save the answers of this checkout's server in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.answer"):
        old.unlink()
    begun = time.monotonic()
    with server() as url:
        ask_all(Client(url, folder))
    print(f"{len(list(folder.glob('*.answer')))} answers in {folder}, after {time.monotonic() - begun:.0f} s")


def compare(before: Path, after: Path, added: Iterable[str] = ()) -> bool:
    """Print how the answers in two folders differ. Return whether they are the same, apart from texts for people."""
    names = [{file.name for file in folder.glob("*.answer")} for folder in (before, after)]
    if not names[0] or not names[1]:
        raise SystemExit(f"There are no answers in {before if not names[0] else after}.")
    different = [f"{name.removesuffix('.answer')}: only in {folder}" for folder, mine, others in
                 ((before, names[0], names[1]), (after, names[1], names[0])) for name in sorted(mine - others)]  # fmt: skip
    reworded: list[str] = []
    texts: Counter[str] = Counter()
    both = sorted(names[0] & names[1])
    for name in both:
        old, new = kept(before / name), kept(after / name, added)
        if old.whole == new.whole:
            continue
        if old.texts != new.texts:
            reworded.append(name.removesuffix(".answer"))
            texts.update(changed(old.texts, new.texts))
        if old.data != new.data or old.texts == new.texts:
            different.append(f"{name.removesuffix('.answer')}\n{first(old, new)}")
    print(f"{len(both)} answers in both, {len(different)} differ, {len(reworded)} have other texts for people")
    if reworded:
        print(f"\nOther texts: {', '.join(reworded)}")
        for text, count in texts.most_common():
            print(f"{text}{f'   ({count} times)' if count > 1 else ''}")
    if different:
        print("\nDifferent:")
        print("\n".join(different))
    return not different


def changed(before: Iterable[str], after: Iterable[str]) -> Iterator[str]:
    """Yield the removed and added texts as lines of a diff."""
    for line in difflib.ndiff(list(before), list(after)):
        if line[0] in "+-":
            yield line.rstrip()


def first(old: Kept, new: Kept) -> str:
    """Return the first difference of two answers' data, with its context."""
    one, other = (old.data, new.data) if old.data != new.data else (old.whole.decode("latin-1"), new.whole.decode("latin-1"))
    at = next((index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    begin = max(0, at - 60)
    return "\n".join(f"  {sign} …{text[begin : at + 100]!r}" for sign, text in (("-", one), ("+", other)))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command")
    saving = commands.add_parser("save", help="save the answers of this checkout's server")
    saving.add_argument("folder", type=Path)
    comparing = commands.add_parser("compare", help="report the answers that differ")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument("--added", action="append", default=[], metavar="KEY", help="a JSON key that only AFTER has")
    given = parser.parse_args()
    same = True
    match given.command:
        case "save":
            save(given.folder)
        case "compare":
            same = compare(given.before, given.after, given.added)
        case _:
            with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
                save(Path(one))
                save(Path(other))
                same = compare(Path(one), Path(other))
    if not same:
        sys.exit(1)


if __name__ == "__main__":
    main()
