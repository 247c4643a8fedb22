"""Time a request against torchviz: run the notebook's last section and get its picture, alternating between the two.

Tapedeck gets ``POST /api/v1/runs`` and ``GET …/graph.svg`` on a warm server: sandbox, trace, store and HTTP are included.
torchviz gets a separate warm process, unconfined: the same program, ``make_dot(show_attrs=True, show_saved=True)`` and
``pipe("svg")``. It must keep the graph after backward, because it would otherwise have no saved tensors to show.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

from tapedeck.drawing.program import find
from tapedeck.examples import FIRST_VISIT, example

from _common import Client, machine, p50, p95, server, table, timed

PAUSE = 0.1
"""Seconds between rounds, in which the server prepares its next child: the benchmark measures latency, not throughput."""
TARGET = 1.0
"""Bound on Tapedeck's median as a multiple of torchviz's."""


def torchviz(pipe: Connection) -> None:
    """Draw the graph of each program that arrives on the pipe, and send back the milliseconds that it took."""
    warnings.simplefilter("ignore")
    import torch
    from torchviz import make_dot

    torch.set_num_threads(1)

    def draw(program: str) -> None:
        namespace: dict[str, object] = {}
        exec(compile(program, "<program>", "exec"), namespace)
        make_dot(namespace["loss"], show_attrs=True, show_saved=True).pipe("svg", quiet=True)

    while program := pipe.recv():
        pipe.send(timed(lambda program=program: draw(program)))  # type: ignore[misc]


def have_dot(folder: str, named: str | None) -> str:
    """Put a ``dot`` first on the PATH for torchviz, and return its path.

    Use the ``dot`` at the path ``named`` if given, else the machine's, else the one from Tapedeck's wheel.
    """
    path = shutil.which(named or "dot") or (find() if named is None else None)
    if path is None:
        raise SystemExit(f"There is no program {named}: give its path.")
    os.symlink(os.path.abspath(path), Path(folder) / "dot")
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return path


class PictureClient(Client):
    """Client that runs programs for their pictures."""

    def run(self, program: str) -> str:
        """Run a program and return the path of its last pass's picture."""
        run = json.loads(self.ask("POST", "/api/v1/runs", program.encode()))
        assert run["status"] == "done", run["error"]
        return f"/api/v1/runs/{run['id']}/passes/{run['passes'] - 1}/graph.svg"


class Contest:
    """Times Tapedeck and torchviz on the same program."""

    def __init__(self, client: PictureClient, pipe: Connection) -> None:
        self._client = client
        self._pipe = pipe

    def ours(self, program: str) -> tuple[float, float]:
        """Return the milliseconds of Tapedeck's POST and of its GET."""
        paths: list[str] = []
        posted = timed(lambda: paths.append(self._client.run(program)))
        return posted, timed(lambda: self._client.ask("GET", paths[0]))

    def theirs(self, program: str) -> float:
        """Return the milliseconds of torchviz."""
        self._pipe.send(program.replace("loss.backward()", "loss.backward(retain_graph=True)"))
        taken: float = self._pipe.recv()
        return taken


def another(program: str, number: int) -> str:
    """Return the program with eight more operations in a new structure: each operation is a chain or a fan-in."""
    more = [f"loss = loss * 2{' + loss' if number >> bit & 1 else ''}" for bit in range(8)]
    return program.replace("loss.backward()", "\n".join([*more, "loss.backward()"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200, help="number of rounds, at most 256")
    parser.add_argument("--dot", help="the dot that torchviz uses; default: the machine's, else the one from Tapedeck's wheel")
    arguments = parser.parse_args()
    rounds: int = arguments.rounds
    chosen = example(FIRST_VISIT)
    assert chosen is not None
    program = chosen.program

    post: list[float] = []
    get: list[float] = []
    warm: list[float] = []
    fresh: list[float] = []
    viz: list[float] = []
    viz_fresh: list[float] = []
    with tempfile.TemporaryDirectory() as folder, server() as url:
        dot = have_dot(folder, arguments.dot)
        own_end, worker_end = multiprocessing.get_context("spawn").Pipe()
        worker = multiprocessing.get_context("spawn").Process(target=torchviz, args=(worker_end,), daemon=True)
        worker.start()
        contest = Contest(PictureClient(url), own_end)
        contest.theirs(program)  # imports torch
        for _ in range(20):
            contest.ours(program), contest.theirs(program)
        for number in range(rounds):
            posted, got = contest.ours(program)
            post.append(posted)
            get.append(got)
            warm.append(posted + got)
            viz.append(contest.theirs(program))
            time.sleep(PAUSE)
            new = another(program, number)
            fresh.append(sum(contest.ours(new)))
            viz_fresh.append(contest.theirs(new))
            time.sleep(PAUSE)
        own_end.send("")
        worker.join()

    rows = [
        ("POST /api/v1/runs", post, viz),
        ("GET graph.svg", get, viz),
        ("both", warm, viz),
        ("torchviz, unconfined", viz, viz),
        ("eight more nodes, a new structure each time: both", fresh, viz_fresh),
        ("eight more nodes: torchviz, unconfined", viz_fresh, viz_fresh),
    ]
    table(
        f"The notebook's last section, {rounds} alternating rounds",
        ["", "p50 ms", "p95 ms", "× torchviz's p50"],
        [[name, f"{p50(each):.1f}", f"{p95(each):.1f}", f"{p50(each) / p50(other):.2f}"] for name, each, other in rows],
    )
    ratio = p50(warm) / p50(viz)
    print(f"\n  {machine()}; torchviz draws with {dot}")
    print(f"  ratio {ratio:.2f}, bound {TARGET}: {'met' if ratio <= TARGET else 'MISSED'}")
    if ratio > TARGET:
        sys.exit(1)


if __name__ == "__main__":
    main()
