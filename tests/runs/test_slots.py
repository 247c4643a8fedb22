"""Slots are shared fairly between sessions and addresses, and the waiting times that callers receive are accurate."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from tapedeck.errors import Busy, TooMany
from tapedeck.runs.slots import Slots, Ticket
from tapedeck.runs.turns import ADDRESS_TURNS, Client

pytestmark = pytest.mark.anyio


class Simulation:
    """Slots whose clock moves only in :meth:`advance`. Each program takes a given time once it has a slot."""

    def __init__(self, count: int = 2, queue: int = 512, per_session: int = 32, longest: float = 10.0) -> None:
        self.now = 0.0
        self.slots = Slots(count, queue, per_session, longest, clock=lambda: self.now)
        self.started: list[Ticket] = []
        self._takes: dict[Ticket, float] = {}

    def admit(self, session: str | None, address: str = "192.0.2.1", takes: float = 10.0, asked: str = "") -> Ticket:
        ticket = self.slots.admit(Client(session, address, asked))
        self._takes[ticket] = takes
        self._note()
        return ticket

    def advance(self) -> bool:
        """Move the clock to the end of the next program. Return ``False`` if none is running."""
        ends = {ticket: ticket.began + self._takes[ticket] for ticket in self._takes if ticket.began is not None}
        if not ends:
            return False
        ticket = min(ends, key=lambda ticket: ends[ticket])
        self.now = ends[ticket]
        del self._takes[ticket]
        self.slots.release(ticket)
        self._note()
        return True

    def fill(self) -> None:
        """Take every slot, each with a program of its own session and address."""
        number = 0
        while not self.slots.waiting:
            number += 1
            last = self.admit(f"other {number}", f"198.51.100.{number}", takes=float(number))
        self.slots.release(last)
        del self._takes[last]

    def finish(self) -> None:
        while self.advance():
            pass

    @property
    def sessions(self) -> list[str | None]:
        """The sessions of the programs that were started, in order."""
        return [ticket.client.session for ticket in self.started]

    def _note(self) -> None:
        granted = [ticket for ticket in self._takes if ticket.began is not None and ticket not in self.started]
        self.started += sorted(granted, key=lambda ticket: ticket.began or 0.0)


async def test_one_session_never_takes_the_last_slot() -> None:
    simulation = Simulation(count=2)
    loops = [simulation.admit("anna") for _ in range(20)]
    assert sum(ticket.granted.done() for ticket in loops) == 2
    assert simulation.admit("ben").granted.done()  # at the same address
    assert not simulation.admit("carl").granted.done()
    assert simulation.admit("dora", "192.0.2.2").granted.done()
    assert not simulation.admit("emil", "192.0.2.3").granted.done()


async def test_equal_programs_without_a_session_share_the_slots_of_one_session() -> None:
    simulation = Simulation(count=2)
    assert sum(simulation.admit(None).granted.done() for _ in range(20)) == 2
    assert simulation.admit("anna").granted.done()
    assert simulation.admit(None, "192.0.2.2").granted.done()


async def test_endless_loops_without_a_session_do_not_delay_another_caller_without_one() -> None:
    simulation = Simulation(count=2)
    for _ in range(20):
        simulation.admit(None, asked="loop")
    assert simulation.admit(None, asked="short").granted.done()  # at the same address


async def test_callers_without_a_session_take_turns() -> None:
    simulation = Simulation(count=1)
    simulation.fill()
    tickets = [simulation.admit(None, takes=1.0, asked=asked) for asked in "aaaabbc"]
    simulation.finish()
    order = [ticket.client.asked for ticket in simulation.started if ticket in tickets]
    assert order == ["a", "b", "c", "a", "b", "a", "a"]


async def test_sessions_take_turns() -> None:
    simulation = Simulation(count=10)
    simulation.fill()
    for session in ("anna", "anna", "anna", "ben", "carl", "ben"):
        simulation.admit(session, takes=1_000.0)
    simulation.finish()
    assert simulation.sessions[12:] == ["anna", "ben", "carl", "anna", "ben", "anna"]


async def test_three_hundred_sessions_at_one_address_are_all_served_before_any_runs_twice() -> None:
    simulation = Simulation(count=2)
    for _ in range(2):
        for number in range(150):
            simulation.admit(f"student {number}", takes=0.1)
    simulation.finish()
    assert len(simulation.started) == 300
    assert len(set(simulation.sessions[:150])) == 150


async def test_three_hundred_callers_without_a_session_are_all_served() -> None:
    simulation = Simulation(count=2)
    for _ in range(300):
        simulation.admit(None, takes=0.1)
    simulation.finish()
    assert len(simulation.started) == 300


async def test_many_sessions_at_one_address_do_not_multiply_its_share_without_limit() -> None:
    simulation = Simulation(count=1)
    for number in range(300):
        simulation.admit(f"forged {number}", "192.0.2.66", takes=1.0)
    for _ in range(3):
        simulation.admit("anna", "192.0.2.1", takes=1.0)
        simulation.admit("ben", "192.0.2.2", takes=1.0)
    simulation.finish()
    served = simulation.sessions[: 3 * (ADDRESS_TURNS + 4)]
    assert Counter(served)["anna"] == 3
    assert Counter(served)["ben"] == 3


async def test_a_session_that_could_not_use_its_turns_does_not_catch_up() -> None:
    simulation = Simulation(count=1)
    for _ in range(5):
        simulation.admit("loops", takes=10.0)
    for _ in range(20):
        simulation.admit("anna", takes=0.5)
    simulation.finish()
    while_looping = simulation.sessions[: 2 + 20]
    assert while_looping.count("anna") >= 19


async def test_a_client_with_a_full_share_of_the_queue_is_refused_while_others_get_in() -> None:
    simulation = Simulation(count=1, queue=20, per_session=5)
    for _ in range(6):
        simulation.admit("anna")
    with pytest.raises(TooMany, match="5 of your runs"):
        simulation.admit("anna")
    for number in range(11):
        simulation.admit(f"student {number}")
    with pytest.raises(TooMany, match="15 runs from your address"):
        simulation.admit("one more")
    for number in range(6):
        simulation.admit("ben", f"192.0.2.{number + 10}")
    with pytest.raises(Busy, match="20 runs"):
        simulation.admit("carl", "192.0.2.99")


async def test_large_programs_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.runs.slots.QUEUE_BYTES", 1_000)
    slots = Simulation(count=1).slots
    waiting = [slots.admit(Client("anna", "192.0.2.1"), 250) for _ in range(4)]
    with pytest.raises(TooMany, match="from your address"):
        slots.admit(Client("ben", "192.0.2.1"), 1)
    slots.admit(Client("ben", "192.0.2.2"), 200)
    other = [slots.admit(Client(f"carl {number}", "192.0.2.2"), 200) for number in range(2)]
    with pytest.raises(Busy):
        slots.admit(Client("dora", "192.0.2.3"), 100)
    for ticket in waiting + other:
        slots.release(ticket)
    assert slots._bytes == 0
    assert not slots._bytes_at


@pytest.mark.parametrize("takes", [0.05, 2.0, 7.0])
async def test_retry_after_is_the_time_until_the_queue_has_room(takes: float) -> None:
    simulation = Simulation(count=2, queue=64, per_session=32)
    for _ in range(34):
        simulation.admit("anna", takes=takes)
    for _ in range(10):  # so that the slots know how long such programs take
        simulation.advance()
        simulation.admit("anna", takes=takes)
    with pytest.raises(TooMany) as refused:
        simulation.admit("anna")
    begun = simulation.now
    simulation.advance()
    assert refused.value.retry_after is not None
    assert refused.value.retry_after == pytest.approx(max(1.0, simulation.now - begun), rel=0.3)


@pytest.mark.parametrize("takes", [0.1, 2.0])
async def test_the_estimated_wait_is_accurate(takes: float) -> None:
    simulation = Simulation(count=2)
    for number in range(300):
        simulation.admit(f"student {number}", f"192.0.2.{number % 3}", takes=takes)
    for _ in range(30):
        simulation.advance()
    last = simulation.admit("anna", takes=takes)
    position = last.position()
    assert position is not None
    begun = simulation.now
    while not last.granted.done():
        simulation.advance()
    assert position.seconds == pytest.approx(simulation.now - begun, rel=0.35, abs=0.2)


async def test_an_endless_program_is_expected_to_take_longer_the_longer_it_runs() -> None:
    simulation = Simulation(count=1, longest=10.0)
    simulation.admit("anna")
    waiting = simulation.admit("anna")
    estimates = []
    for simulation.now in (0.0, 3.0, 6.0, 9.5):
        position = waiting.position()
        assert position is not None
        estimates.append(position.seconds)
    assert estimates == [1.0, 3.0, 4.0, 0.5]


async def test_positions_are_the_order_in_which_programs_start() -> None:
    chance = random.Random(1)
    simulation = Simulation(count=50)
    simulation.fill()
    sessions = [None, *(f"student {number}" for number in range(10))]
    waiting = [simulation.admit(chance.choice(sessions), f"192.0.2.{chance.randrange(4)}", takes=1_000.0) for _ in range(100)]
    positions = {ticket: position.position for ticket in waiting if (position := ticket.position()) is not None}
    assert sorted(positions.values()) == list(range(1, 101))
    for _ in range(52):
        simulation.advance()
    assert [positions[ticket] for ticket in simulation.started[52:]] == list(range(1, 53))


async def test_a_cancelled_caller_leaves_the_queue() -> None:
    simulation = Simulation(count=1)
    first, second, third = (simulation.admit("anna") for _ in range(3))
    cancelled = asyncio.Event()
    acquiring = asyncio.ensure_future(simulation.slots.acquire(second, cancelled))
    await asyncio.sleep(0)
    cancelled.set()
    assert await acquiring is False
    simulation.slots.release(second)
    simulation.slots.release(second)  # may be repeated
    assert second.position() is None
    position = third.position()
    assert position is not None
    assert position.position == 1
    simulation.slots.release(first)
    assert third.granted.done()


async def test_clients_that_have_left_are_forgotten() -> None:
    simulation = Simulation(count=2)
    for number in range(3_000):
        simulation.admit(f"student {number}", f"192.0.2.{number % 7}", takes=0.1)
        if number % 100 == 99:
            simulation.finish()
    slots = simulation.slots
    assert not slots.waiting
    assert not slots._turns._addresses
    assert not slots._running
    assert not (slots._running_of | slots._running_at | slots._waiting_of | slots._waiting_at)
    assert len(slots._durations._means) <= 1_000
