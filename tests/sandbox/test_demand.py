"""The demand is high while more programs arrive than the processors can run in children that have warmed up."""

from __future__ import annotations

from tapedeck.sandbox.demand import RUN_SECONDS, SECONDS, SHARE, Demand


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def arrive(per_second: float, *, processors: int, seconds: float = 2.0) -> tuple[Demand, Clock]:
    clock = Clock()
    demand = Demand(processors, clock)
    for _ in range(int(per_second * seconds)):
        demand.add()
        clock.now += 1 / per_second
    return demand, clock


def test_the_demand_depends_on_the_rate_and_on_the_number_of_processors() -> None:
    most = SHARE / RUN_SECONDS  # runs in a second on one processor
    for processors in (1, 2, 16):
        assert not arrive(most * processors * 0.8, processors=processors)[0].is_high
        assert arrive(most * processors * 1.2, processors=processors)[0].is_high
    assert not arrive(most * 1.2, processors=2)[0].is_high


def test_the_demand_falls_once_no_program_arrives() -> None:
    demand, clock = arrive(1000.0, processors=2)
    clock.now += SECONDS
    assert not demand.is_high


def test_a_few_programs_at_once_are_no_high_demand() -> None:
    clock = Clock()
    demand = Demand(2, clock)
    for _ in range(8):
        demand.add()
    assert not demand.is_high
