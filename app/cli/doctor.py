"""Check that this machine has everything that Tapedeck needs, and name the remedy if something is missing."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from msgspec import Struct

from .. import TESTED_TORCH, model, native
from ..assets import static_path
from ..drawing import engine, program
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
"""A graph to test the layout engine with."""


class Diagnosis(Struct, frozen=True):
    """The result of one check. ``details`` are the results of its parts."""

    ok: bool
    text: str
    details: list[Diagnosis] = []


async def examine(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Run the checks one after the other, and yield the result of each."""
    yield Diagnosis(True, f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    yield _torch()
    yield library_diagnosis(native.load())
    yield _bundle()
    yield await _engine(settings)
    yield writable(settings.data)
    yield await _sandbox(settings)


def _torch() -> Diagnosis:
    try:
        return torch_diagnosis(importlib.metadata.version("torch"))
    except importlib.metadata.PackageNotFoundError:
        return Diagnosis(False, "torch is missing: pip install torch")


def torch_diagnosis(installed: str) -> Diagnosis:
    """Compare the installed version of PyTorch with the tested ones.

    >>> torch_diagnosis("2.13.0+cpu").text
    'torch 2.13.0+cpu is inside the tested range, 2.10 to 2.14'
    """
    release = _release(installed)
    oldest, newest = map(_release, TESTED_TORCH)
    tested = " to ".join(TESTED_TORCH)
    if release < oldest:
        remedy = f'pip install "torch>={TESTED_TORCH[0]}"'
        return Diagnosis(False, f"torch {installed} is older than the tested range, {tested}: {remedy}")
    if release > newest:
        return Diagnosis(True, f"torch {installed} is newer than the tested range, {tested}: recordings may be incomplete")
    return Diagnosis(True, f"torch {installed} is inside the tested range, {tested}")


def library_diagnosis(library: native.Library | None) -> Diagnosis:
    """Report whether the code in C is used. It is not necessary.

    >>> library_diagnosis(None).text
    'PyTorch computes the statistics of tensors, which takes longer than in C: install a C compiler, then Tapedeck again'
    """
    if library is None:
        remedy = "install a C compiler, then Tapedeck again"
        return Diagnosis(True, f"PyTorch computes the statistics of tensors, which takes longer than in C: {remedy}")
    return Diagnosis(True, "Compiled code in C computes the statistics of large tensors")


def _release(version: str) -> tuple[int, ...]:
    """Return the major and the minor number of a version."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _bundle() -> Diagnosis:
    try:
        static_path()
    except OSError as error:
        return Diagnosis(False, str(error))
    return Diagnosis(True, "The bundled scripts and styles are installed")


async def _engine(settings: Settings) -> Diagnosis:
    try:
        path = program.find(settings.dot)
        await engine.LayoutEngine(settings.dot).layout(plan(SAMPLE, "TB", numbers=False))
    except TapedeckError as error:
        return Diagnosis(False, f"Graphviz: {error}")
    return Diagnosis(True, f"Graphviz lays out graphs: {path}")


def writable(folder: str) -> Diagnosis:
    """Check that recordings can be stored in a folder. Create the folder if it does not exist."""
    if folder == ":memory:":
        return Diagnosis(True, "Recordings are kept in memory until the server stops (:memory:)")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = "choose another folder with --data or TAPEDECK_DATA"
        return Diagnosis(False, f"Recordings cannot be stored in {folder} ({error.strerror}): {remedy}.")
    return Diagnosis(True, f"Recordings are stored in {os.path.abspath(folder)}")


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
