"""Compare recording with other tools, and requests with torchviz, in one run; write ``RESULTS.md`` and ``results.svg``.

Each figure is the processor time of one training step as a multiple of plain eager PyTorch: that of several steps minus that of
one, so that imports and the creation of the model cancel out. The ways alternate, on one thread, unconfined. The second table
compares ``POST`` and ``GET …/graph.svg`` on a warm server with torchviz in a warm process, by wall time. The engine is read
from a picture that it has drawn.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import html
import importlib.metadata
import io
import math
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tapedeck import wire
from tapedeck.drawing.program import find
from tapedeck.examples import FIRST_VISIT, example
from tapedeck.tracer.main import execute, preload

from _common import machine, p50, server
from _yardsticks import plain
from record import MLP, REGRESSION, TRANSFORMER, with_stack
from request import PAUSE, Contest, PictureClient, another, engine_of, have_dot, torchviz_process
from throughput import CLIENTS, HEAD, Figures
from throughput import measured as throughput_of
from throughput import rows as throughput_rows

FOLDER = Path(__file__).parent
BACKWARD = "loss.backward()"
SYSTEM = "the system's dot"
SLOW = 8
"""Largest number of steps of a way that is slow."""


@dataclass(frozen=True)
class Workload:
    """A training whose loop has ``steps`` steps."""

    name: str
    program: str
    steps: int


WORKLOADS = (
    Workload("scalar regression", REGRESSION, 200),
    Workload("MLP 2-64-64-1", MLP, 60),
    Workload("transformer, 4 blocks", TRANSFORMER, 8),
)


@dataclass(frozen=True)
class Way:
    """A way to run a training: a tool, and how it observes each step.

    ``edit`` changes the program so that it calls the tool; it returns ``None`` if the tool cannot be applied. ``run`` runs the
    program. ``gives`` says what one gets for the cost.
    """

    name: str
    gives: str
    run: Callable[[str], object]
    edit: Callable[[str], str | None] = lambda program: program
    steps: int | None = None
    distribution: str = ""


def recorded(**options: object) -> Callable[[str], object]:
    """Return a function that records a program as Tapedeck does, with options of the job."""

    def run(program: str) -> None:
        execute(wire.Job(program, [(1, program.count("\n"))], **options), lambda data: None)  # type: ignore[arg-type]

    return run


def inside(context: Callable[[], contextlib.AbstractContextManager[object]]) -> Callable[[str], object]:
    """Return a function that runs a program inside a context."""

    def run(program: str) -> None:
        with context():
            plain(program)

    return run


def debug_mode() -> contextlib.AbstractContextManager[object]:
    from torch.utils._debug_mode import DebugMode

    mode: contextlib.AbstractContextManager[object] = DebugMode()
    return mode


def silently(program: str) -> None:
    """Run a program, and discard what the tool prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        plain(program)


def before_backward(call: str) -> Callable[[str], str | None]:
    """Return an edit that inserts a call before each backward."""

    def edit(program: str) -> str | None:
        text = call
        if "model" in text and "model" not in program:
            return None
        return program.replace(f"    {BACKWARD}", f"    {text}\n    {BACKWARD}")

    return edit


def with_torchlens(program: str) -> str | None:
    """Trace the forward and log the backward, with the gradients of all layers."""
    if "model(x)" not in program:
        return None
    traced = "log = torchlens.trace(model, x, capture=CaptureOptions(save_grads='all'))"
    edited = program.replace("    loss = ", f"    {traced}\n    loss = ").replace("model(x)", "log.layers[-1].out")
    imports = "import torchlens\nfrom torchlens.options import CaptureOptions\n"
    return imports + edited.replace(BACKWARD, "log.log_backward(loss)")


def importing(module: str, edit: Callable[[str], str | None]) -> Callable[[str], str | None]:
    def imported(program: str) -> str | None:
        edited = edit(program)
        return None if edited is None else f"import {module}\n{edited}"

    return imported


WAYS = (
    Way("Tapedeck", "values, gradients and updates of every step, by line", recorded()),
    Way("Tapedeck, summarized steps", "losses, and statistics of parameters, gradients and updates",
        recorded(budget=wire.DetailBudget(bytes=1))),
    Way("detect_anomaly", "the line of the forward, if a gradient is NaN", inside(torch.autograd.detect_anomaly)),
    Way("DebugMode", "a list of calls", inside(debug_mode)),
    Way("torchviz", "the graph as DOT, not drawn",
        silently, importing("torchviz", before_backward("torchviz.make_dot(loss, show_attrs=True, show_saved=True)")),
        SLOW, "torchviz"),
    Way("torchlens", "values and gradients of layers, backward log", silently, with_torchlens, SLOW, "torchlens"),
    Way("torchview", "the modules as DOT, not drawn, no backward",
        silently, importing("torchview", before_backward("torchview.draw_graph(model, input_data=x)")), SLOW, "torchview"),
    Way("torchvista", "the modules as HTML, no backward",
        silently,
        importing("tempfile, torchvista", before_backward(
            "torchvista.trace_model(model, x, export_format='html', export_path=tempfile.mktemp('.html'))")),
        SLOW, "torchvista"),
)  # fmt: skip


@dataclass
class Cell:
    """The figure of a way and a workload: a ratio, or the reason why there is none."""

    ratio: float | None = None
    reason: str = ""


def with_steps(program: str, steps: int) -> str:
    return re.sub(r"range\(\d+\)", f"range({steps})", program)


def per_step(way: Way, program: str, steps: int) -> float:
    """Return the processor time of one step in seconds: of several steps without the first, divided by their number."""
    several, one = with_steps(program, steps), with_steps(program, 1)
    gc.collect()
    start = time.process_time()
    way.run(one)
    between = time.process_time()
    way.run(several)
    return (time.process_time() - between - (between - start)) / (steps - 1)


def measured(rounds: int) -> dict[str, dict[str, Cell]]:
    """Return the ratio of each way to plain eager, by workload and way."""
    eager = Way("eager", "", silently)
    found: dict[str, dict[str, Cell]] = {}
    for workload in WORKLOADS:
        cells = found[workload.name] = {way.name: Cell() for way in WAYS}
        times: dict[str, list[float]] = {way.name: [] for way in (eager, *WAYS)}
        for turn in range(rounds + 1):  # the first round is not counted
            for way in (eager, *WAYS):
                if way is not eager and cells[way.name].reason:
                    continue
                edited = way.edit(workload.program)
                if edited is None:
                    cells[way.name].reason = "needs a module"
                    continue
                try:
                    taken = per_step(way, edited, min(way.steps or workload.steps, workload.steps))
                except Exception as error:
                    first = (str(error).splitlines() or [""])[0]
                    cells[way.name].reason = f"{type(error).__name__}: {first}"[:120]
                    continue
                if turn:
                    times[way.name].append(taken)
        base = p50(times["eager"])
        for way in WAYS:
            if times[way.name]:
                cells[way.name].ratio = p50(times[way.name]) / base
    return found


def engines() -> Iterator[tuple[str, str]]:
    """Yield the name and the path of each engine that torchviz can draw with here."""
    pure = find()
    yield "graphviz-pure", str(pure)
    installed = shutil.which("dot")
    if installed is not None and Path(installed).resolve() != Path(pure).resolve():
        yield SYSTEM, installed


def requests(rounds: int) -> list[tuple[str, str, float, float]]:
    """Return, for each engine, its name, its version, and the ratio for the same structure and for a new one each time."""
    chosen = example(FIRST_VISIT)
    assert chosen is not None
    rows = []
    for name, path in engines():
        with tempfile.TemporaryDirectory() as folder, server() as url, contextlib.ExitStack() as stack:
            have_dot(folder, path)
            contest = Contest(PictureClient(url), stack.enter_context(torchviz_process()))
            contest.theirs(chosen.program)  # imports torch
            for _ in range(10):
                contest.ours(chosen.program), contest.theirs(chosen.program)
            ours: dict[bool, list[float]] = {False: [], True: []}
            theirs: dict[bool, list[float]] = {False: [], True: []}
            for number in range(rounds):
                for new in (False, True):
                    program = another(chosen.program, number) if new else chosen.program
                    ours[new].append(sum(contest.ours(program)))
                    theirs[new].append(contest.theirs(program))
                    time.sleep(PAUSE)
            rows.append((name, engine_of(Path(folder) / "dot"), *(p50(ours[new]) / p50(theirs[new]) for new in (False, True))))
    return rows


def rows_of(cells: Mapping[str, Mapping[str, Cell]]) -> list[list[str]]:
    """Return the rows of the table: a way, its ratios, and what it gives."""
    rows = []
    for way in WAYS:
        name = way.name
        if way.distribution:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                name = f"{way.name} {importlib.metadata.version(way.distribution)}"
        ratios = [cells[workload.name][way.name] for workload in WORKLOADS]
        rows.append([name, *("–" if cell.ratio is None else f"{cell.ratio:.1f}" for cell in ratios), way.gives])
    return rows


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown whose first and last columns are texts."""
    marks = ["---", *["---:"] * (len(head) - 2), "---"]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows))


def report(
    cells: Mapping[str, Mapping[str, Cell]],
    drawn: Sequence[tuple[str, str, float, float]],
    rates: Mapping[str, Figures],
    quiet: bool,
) -> str:
    """Return the text of ``RESULTS.md``."""
    failed = [
        f"- {way.name}, {workload.name}: {cell.reason}."
        for way in WAYS
        for workload in WORKLOADS
        if (cell := cells[workload.name][way.name]).reason
    ]
    engine_rows = [[f"{name} ({generator})", f"{same:.2f}", f"{new:.2f}", ""] for name, generator, same, new in drawn]
    engine_table = markdown(["torchviz draws with", "the same structure", "a new structure each time", ""], engine_rows)
    if SYSTEM not in [name for name, *_ in drawn]:
        failed.append(f"- torchviz with {SYSTEM}: there is none on PATH, or requests were left out.")
    rate_table = markdown([*HEAD, ""], [[*row, ""] for row in throughput_rows(list(rates), list(rates.values()))])
    others = (
        "" if quiet else " **Other programs ran on this machine at the same time: repeat the run before you cite a figure.**"
    )
    return f"""# Results

Written by `python benchmarks/results.py`, in one run: {machine()}, torch {torch.__version__}.{others}

## One training step, as a multiple of plain eager PyTorch

{markdown(["", *(workload.name for workload in WORKLOADS), "what one gets"], rows_of(cells))}

![The same ratios as bars, on a logarithmic scale](results.svg)

Each figure is the processor time of several steps without the first, divided by that of plain eager; medians of alternating
rounds, on one thread, unconfined. Tools that draw were not asked to draw.

{"Not measured:" if failed else ""}

{chr(10).join(failed)}

## A request, as a multiple of torchviz

`POST /api/v1/runs` and `GET …/graph.svg` on a warm server (confined, recorded, stored, over HTTP), against a warm process that
runs the same program and draws it with torchviz, unconfined and without recording. Wall time. With the same structure, the
layout of the graph and the findings come from caches, as for everybody who runs an example.

{engine_table if drawn else "Left out of this run."}

## Throughput

{CLIENTS} clients run the same small program again and again. Processor time is for each run: that of the server, of the zygote
that forks a confined child for each run, of the children, and of the workers that make findings.
`python benchmarks/throughput.py --against CHECKOUT` compares with another version.

{rate_table if rates else "Left out of this run."}

## Large graphs

[How time and memory grow with the number of nodes](GROWTH.md), written by `python benchmarks/growth.py`.
`python benchmarks/large_graphs.py` checks the bounds.
"""


def plot(cells: Mapping[str, Mapping[str, Cell]]) -> str:
    """Return the ratios as bars in SVG, on a logarithmic scale from 1 to 1,000."""
    left, width, bar, gap = 190, 420, 12, 26
    parts, y = [], 14
    for way in WAYS:
        parts.append(f'<text x="{left - 8}" y="{y + bar + 6}" text-anchor="end">{html.escape(way.name)}</text>')
        for index, workload in enumerate(WORKLOADS):
            ratio = cells[workload.name][way.name].ratio
            if ratio is not None:
                length = width * min(max(math.log10(max(ratio, 1.0)) / 3, 0.003), 1.0)
                parts.append(f'<rect class="w{index}" x="{left}" y="{y}" width="{length:.1f}" height="{bar - 2}"/>')
                parts.append(f'<text class="n" x="{left + length + 5:.1f}" y="{y + bar - 3}">{ratio:.1f}</text>')
            y += bar
        y += gap - bar
    for decade in range(4):
        x = left + width * decade / 3
        parts.insert(
            0, f'<path d="M{x:.0f} 8V{y}"/><text class="n" x="{x:.0f}" y="{y + 14}" text-anchor="middle">{10**decade:,}</text>'
        )
    key = [
        f'<rect class="w{index}" x="{left + index * 150}" y="{y + 28}" width="10" height="10"/>'
        f'<text x="{left + index * 150 + 16}" y="{y + 37}">{html.escape(workload.name)}</text>'
        for index, workload in enumerate(WORKLOADS)
    ]
    style = (
        "text{font:12px sans-serif;fill:#24292f}.n{font-size:10px;fill:#6e7781}path{stroke:#d0d7de}"
        ".w0{fill:#0969da}.w1{fill:#bf8700}.w2{fill:#8250df}"
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.n{fill:#8d96a0}path{stroke:#30363d}"
        ".w0{fill:#4493f8}.w1{fill:#d29922}.w2{fill:#ab7df8}}"
    )
    size = f'width="{left + width + 60}" height="{y + 48}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{"".join([*parts, *key])}</svg>\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of each training")
    parser.add_argument(
        "--requests", type=int, default=30, help="alternating rounds of requests; 0 leaves them and the throughput out"
    )
    parser.add_argument("--against", type=Path, action="append", default=[], help="a checkout whose throughput is measured too")
    parser.add_argument("--loaded", action="store_true", help="say in the report that other programs were running")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    preload()
    gc.collect()
    gc.freeze()  # as in the zygote, from which programs are forked
    cells = measured(arguments.rounds)
    drawn = requests(arguments.requests) if arguments.requests else []
    checkouts = [*arguments.against, Path()]
    names = [*(each.name for each in arguments.against), "this version"]
    rates = dict(zip(names, throughput_of(checkouts, arguments.rounds), strict=True)) if arguments.requests else {}
    (FOLDER / "results.svg").write_text(plot(cells))
    text = report(cells, drawn, rates, not arguments.loaded)
    (FOLDER / "RESULTS.md").write_text(text)
    print(text)


if __name__ == "__main__":
    with_stack()
    main()
