"""``serve --unconfined`` runs programs in a person's own folder and environment, with their own packages and processes."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import pytest
from tapedeck import wire
from tapedeck.executor import LocalExecutor
from tapedeck.model import Limits
from tapedeck.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.sandbox, pytest.mark.slow]

OWN = """
import os, sys, tempfile
import mine, packaged
print(os.getcwd(), mine.VALUE, packaged.VALUE, os.environ["OWN"], os.getuid(), tempfile.gettempdir())
with open("file.txt", "w") as out, tempfile.TemporaryFile() as scratch:
    out.write("written")
"""
PROCESSES = """
import atexit, os, threading, time
import torch
from torch.utils.data import DataLoader, TensorDataset
w = torch.ones(2, requires_grad=True)
for (x,) in DataLoader(TensorDataset(torch.ones(8, 2)), batch_size=4, num_workers=2):
    (w * x).sum().backward()
child = os.fork()
if child == 0:
    (w * 3).sum().backward()
    raise ValueError("in the child")
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
atexit.register(lambda: print("exit"))
threading.Thread(target=lambda: (time.sleep(0.3), print("thread"))).start()
"""
MISSING = "import no_such_module_at_all"


@pytest.mark.skipif(sys.platform != "linux", reason="the zygote runs on Linux only")
async def test_an_unconfined_program_uses_the_folder_and_packages_of_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, packages = tmp_path / "folder", tmp_path / "packages"
    folder.mkdir()
    packages.mkdir()
    (folder / "mine.py").write_text("VALUE = 'from the folder'\n")
    (packages / "packaged.py").write_text("VALUE = 'from PYTHONPATH'\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.setenv("OWN", "mine")
    limits = Limits(wall_seconds=60.0)
    executor = LocalExecutor(Settings(children=1, unconfined=True, limits=limits))
    await executor.start()
    try:
        await executor.settled()

        async def run(program: str) -> list[wire.AnyEvent]:
            job = wire.Job(program, [(1, program.count("\n") + 1)])
            return [event async for events in executor.run(job, limits=limits, cancelled=asyncio.Event()) for event in events]

        def printed(events: list[wire.AnyEvent], stream: str = "stdout") -> str:
            outputs = (event for event in events if isinstance(event, wire.OutputEvent))
            return "".join(event.text for event in outputs if event.stream == stream)

        events = await run(OWN)
        expected = f"{folder} from the folder from PYTHONPATH mine {os.getuid()} {tempfile.gettempdir()}\n"
        assert printed(events) == expected, events[-1]
        assert (folder / "file.txt").read_text() == "written"

        events = await run(PROCESSES)
        assert printed(events) == "1\nthread\nexit\n"
        assert printed(events, "stderr").endswith("ValueError: in the child\n")
        assert sum(isinstance(event, wire.PassEvent) for event in events) == 2
        assert isinstance(events[-1], wire.EndEvent)
        assert events[-1].status == "done"

        events = await run(MISSING)
        assert isinstance(events[-1], wire.EndEvent)
        assert events[-1].failure
        assert events[-1].failure.message == "No module named 'no_such_module_at_all'"
    finally:
        await executor.close()
