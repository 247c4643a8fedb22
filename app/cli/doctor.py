"""Look at everything that Tapedeck needs on this machine, and say what is missing and what to do."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from .. import model
from ..assets import static_path
from ..drawing import engine
from ..drawing.plan import plan
from ..errors import TapedeckError
from ..executor import LocalExecutor
from ..settings import Settings

SAMPLE = model.Graph(
    "g0",
    ["n0"],
    [
        model.Node("n0", "op", "MulBackward0", None, "y", None, None, None, "", 1, [], None),
        model.Node("n1", "leaf", "AccumulateGrad", None, "x", None, None, None, "", 1, [], "p0"),
    ],
    [model.Edge("e0", "n0", 0, "n1", 0, True)],
)
"""A graph to try the engine on."""


class Diagnosis(Struct, frozen=True):
    """One thing that was looked at; ``details`` are the things it is made of."""

    ok: bool
    text: str
    details: list[Diagnosis] = []


async def examine(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Look at one thing after another."""
    yield Diagnosis(True, f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    yield _torch()
    yield _tried("The pages' scripts and styles are in place", static_path)
    yield await _engine(settings)
    yield writable(settings.data)
    yield await _sandbox(settings)


def _torch() -> Diagnosis:
    try:
        return Diagnosis(True, f"torch {importlib.metadata.version('torch')}")
    except importlib.metadata.PackageNotFoundError:
        return Diagnosis(False, "torch is missing: pip install torch")


def _tried(text: str, act: Callable[[], object]) -> Diagnosis:
    try:
        act()
    except OSError as error:
        return Diagnosis(False, str(error))
    return Diagnosis(True, text)


async def _engine(settings: Settings) -> Diagnosis:
    try:
        path = engine.find(settings.dot)
        await engine.LayoutEngine(settings.dot).layout(plan(SAMPLE, "TB", numbers=False))
    except TapedeckError as error:
        return Diagnosis(False, f"Graphviz: {error}")
    return Diagnosis(True, f"Graphviz lays out graphs: {path}")


def writable(folder: str) -> Diagnosis:
    """Whether recordings can be kept in a folder, which is made if need be."""
    if folder == ":memory:":
        return Diagnosis(True, "Recordings are kept as long as the server runs (:memory:)")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = "choose another with --data or TAPEDECK_DATA"
        return Diagnosis(False, f"Recordings cannot be kept in {folder} ({error.strerror}): {remedy}.")
    return Diagnosis(True, f"Recordings can be kept in {os.path.abspath(folder)}")


async def _sandbox(settings: Settings) -> Diagnosis:
    executor = LocalExecutor(msgspec.structs.replace(settings, children=1))
    await executor.start()
    try:
        async with asyncio.timeout(120):
            await executor.settled()
    except TimeoutError:
        return Diagnosis(False, "The sandbox did not start within two minutes.")
    finally:
        report, failure = executor.report, executor.failure
        details = [
            Diagnosis(check.ok, check.name if check.ok else f"{check.name}: {check.detail}") for check in executor.checks
        ]
        await executor.close()
    return Diagnosis(failure is None, " ".join(report), details)
