"""Runs expire at the end of their lifetime, however the machine's clock jumps."""

from __future__ import annotations

from pathlib import Path

import pytest
from tapedeck.errors import NotFound
from tapedeck.runs import archive
from tapedeck.runs.clock import ExpiryClock

from .test_manager import ended, request, running

pytestmark = pytest.mark.anyio

HOUR, DAY, YEAR = 3_600.0, 86_400.0, 365 * 86_400.0


class Machine:
    """A machine whose clock can be set."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self.wall = wall
        self.passed = 50.0

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.passed += seconds

    def clock(self, latest: float = 0.0) -> ExpiryClock:
        return ExpiryClock(latest, lambda: self.wall, lambda: self.passed)


def test_the_clock_is_followed_while_it_runs_evenly_or_is_corrected_a_little() -> None:
    machine = Machine()
    clock = machine.clock(machine.wall - HOUR)
    for correction in (0.0, 200.0, -250.0, 3.0):
        machine.wait(HOUR)
        machine.wall += correction
        assert clock.now() == pytest.approx(machine.wall)
        assert clock.certain


@pytest.mark.parametrize("jump", [40 * YEAR, -40 * YEAR, HOUR, -HOUR])
def test_a_jump_counts_only_once_it_has_lasted_a_day(jump: float) -> None:
    machine = Machine()
    began = machine.wall
    clock = machine.clock()
    machine.wall += jump
    for _ in range(23):
        machine.wait(HOUR)
        assert clock.now() == pytest.approx(machine.wall - jump)
    machine.wait(2 * HOUR)
    assert clock.now() == pytest.approx(machine.wall) == pytest.approx(began + jump + 25 * HOUR)


def test_a_jump_that_is_undone_never_counts() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += YEAR
    for _ in range(20):
        machine.wait(HOUR)
        clock.now()
    machine.wall -= YEAR
    assert clock.now() == pytest.approx(machine.wall)
    machine.wall += YEAR
    machine.wait(HOUR)
    assert clock.now() == pytest.approx(machine.wall - YEAR)


@pytest.mark.parametrize("away", [60 * DAY, -60 * DAY, 20 * YEAR])
def test_the_clock_is_uncertain_for_a_day_if_it_starts_far_from_the_newest_run(away: float) -> None:
    machine = Machine()
    clock = machine.clock(latest=machine.wall - away)
    assert not clock.certain
    for _ in range(23):
        machine.wait(HOUR)
        assert not clock.certain
        assert clock.now() == pytest.approx(machine.wall)
    machine.wait(2 * HOUR)
    assert clock.certain


def test_a_clock_that_starts_wrong_is_certain_as_soon_as_it_is_corrected() -> None:
    machine = Machine()
    right = machine.wall
    machine.wall += 70 * YEAR
    clock = machine.clock(latest=right - HOUR)
    assert not clock.certain
    machine.wall -= 70 * YEAR
    assert clock.now() == pytest.approx(right)
    assert clock.certain


async def test_an_expired_run_is_not_found_even_before_it_is_deleted(tmp_path: Path) -> None:
    machine = Machine()
    async with running(tmp_path, keep_days=30.0) as (runs, _):
        runs._archive.clock = machine.clock()
        recorded = await ended(await runs.submit(request(), "anna", key="k", fingerprint="f"))
        machine.wait(30 * DAY - 1)
        assert await runs.find(recorded.id) is recorded
        assert len(await runs.of_owner("anna", 10)) == 1
        machine.wait(2)
        with pytest.raises(NotFound):
            await runs.find(recorded.id)
        runs._archive.forget(recorded.id)
        with pytest.raises(NotFound):
            await runs.find(recorded.id)
        assert await runs.of_owner("anna", 10) == []
        again = await ended(await runs.submit(request(), "anna", key="k", fingerprint="f"))
        assert again.id != recorded.id


async def test_a_clock_that_jumps_deletes_no_fresh_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "SWEEP_SECONDS", 0.0)
    machine = Machine()
    async with running(tmp_path, keep_days=1.0) as (runs, _):
        runs._archive.clock = machine.clock()
        recorded = await ended(await runs.submit(request(), "anna"))
        machine.wall += 50 * YEAR
        await runs._archive._write(lambda: None)  # a sweep has begun after the jump
        await runs._archive._write(lambda: None)
        runs._archive.forget(recorded.id)
        assert (await runs.find(recorded.id)).id == recorded.id
