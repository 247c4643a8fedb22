"""Run programs in the real sandbox, from tests that are not asynchronous."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest
from tapedeck import wire
from tapedeck.executor import LocalExecutor
from tapedeck.model import Limits
from tapedeck.settings import Settings

ENTRIES = str(Path(__file__).parent.parent / "sandbox")
SECRET = "a-secret-of-the-server-3f9c"
LIMITS = Limits(wall_seconds=30.0, memory_bytes=400 << 20)

T = TypeVar("T")


class Outcome(NamedTuple):
    """The result of a run."""

    status: str
    text: str
    failure: wire.ProgramFailure | None
    events: list[wire.AnyEvent]


class Runner:
    """An executor on its own event loop, in its own thread."""

    def __init__(self, mode: str, limits: Limits = LIMITS, entry: str = "stub_entry", namespaces: bool = True) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.executor = LocalExecutor(
            Settings(children=2, limits=limits, unconfined=mode == "none"),
            entry=entry,
            path=(ENTRIES,),
            mode=mode,  # type: ignore[arg-type]
            namespaces=namespaces,
        )
        self.wait(self._start())

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def run(self, program: str, **limits: Any) -> Outcome:
        """Run a program to its end."""
        return self.wait(self._run(program, msgspec.structs.replace(LIMITS, **limits)))

    def close(self) -> None:
        self.wait(self.executor.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def children(self) -> set[int]:
        """Return the process ids of the zygote's running children."""
        zygote = self.executor.zygote
        found = set()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == zygote and fields[0] != "Z":
                found.add(int(entry.name))
        return found

    async def _start(self) -> None:
        await self.executor.start()
        await self.executor.settled()
        assert self.executor.ready, self.executor.report

    async def _run(self, program: str, limits: Limits) -> Outcome:
        events: list[wire.AnyEvent] = []
        job = wire.Job(program, [(1, program.count("\n") + 1)])
        async for batch in self.executor.run(job, limits=limits, cancelled=asyncio.Event()):
            events += batch
        end = events[-1]
        assert isinstance(end, wire.EndEvent)
        text = "".join(event.text for event in events if isinstance(event, wire.OutputEvent))
        return Outcome(end.status, text, end.failure, events)


@pytest.fixture(scope="session", params=["full", pytest.param("nofiles", marks=pytest.mark.slow)])
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """A runner for each mode, without namespaces. Tests of a mode that the machine does not support are skipped."""
    if request.param == "full":
        from tapedeck.sandbox.landlock import version

        if version() == 0:
            pytest.skip("this kernel has no Landlock")
    os.environ["TAPEDECK_SECRET"] = SECRET
    made = Runner(request.param, namespaces=False)  # test_in_namespaces.py tests runners with namespaces
    yield made
    made.close()


@pytest.fixture(scope="session")
def make_runner() -> type[Runner]:
    """The class of runners, for tests that need another kind."""
    return Runner


@pytest.fixture(scope="session")
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user, which no program may touch."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(3600)"])
    yield process
    process.kill()
    process.wait()
