"""A program that was stopped: what was recorded after its last complete step, and at which instant its run opens."""

from __future__ import annotations

import httpx
import msgspec
import pytest
from tapedeck import model, wire
from tapedeck.recording import MemoryLog, Recording, is_unfinished, unfinished_step
from tapedeck.runs.opening import opening

from ..handmade_events import FIT, fit, pass_, step, table
from ..web.conftest import Serve, serve  # noqa: F401 (a fixture)

STOPPED = wire.EndEvent("timed_out", wire.ProgramFailure("timed_out", "Stopped after 10 s.", None, -1, ""), 10_000.0)
LATE = wire.LinesEvent([wire.LineRow(6, None, "tensor([9., 9., 9.])", 0), wire.LineRow(3, None, "y", at=0)], table([9.0] * 3))


def recording(*events: wire.AnyEvent) -> Recording:
    return Recording(MemoryLog(events), FIT)


def test_a_pass_and_values_after_the_last_step_are_an_unfinished_step() -> None:
    found = unfinished_step(recording(*fit(2)[:-5], pass_(2, 1.2), LATE))
    assert (found.index, found.main, [each.index for each in found.passes]) == (2, 2, [2])
    assert found.lines == {"forward": [6], "loss": [], "backward": [8], "update": []}
    assert [*found.values] == ["6"]
    assert [*found.earlier] == ["7"], "the value of line 6 is of this step"
    assert (found.loss_name, found.parameters) == ("loss", [])
    assert found.loss is not None


def test_a_program_that_loops_after_its_only_backward_has_a_pass_to_show() -> None:
    found = unfinished_step(recording(*fit(0)[:3], pass_(0, 1.0), LATE))
    assert (found.index, found.main) == (0, 0)
    assert not is_unfinished(recording(*fit(0)[:3], LATE)), "before the first pass, there is no step"


def test_a_value_sent_before_its_step_ended_is_replaced_by_that_of_the_step() -> None:
    later = msgspec.structs.replace(step(3, 1.0, 1.0), index=3)
    shown = recording(*fit(2)[:-5], LATE, pass_(2, 1.2), step(2, 5.0, 1.0), pass_(3, 1.0), later)
    lines = {line.line: line for line in shown.lines()}
    assert (lines[6].step, lines[6].tensor and lines[6].tensor.values) == (3, [1.0, 2.0, 3.0])
    assert lines[3].text == "y"
    assert not is_unfinished(shown)


def test_a_run_opens_at_its_error_or_at_its_first_step() -> None:
    error = model.Finding("x", "error", None, 10, 1, None, "", "")
    warning = msgspec.structs.replace(error, severity="warning")
    shown = recording(*fit(3))
    assert opening(shown, [warning, error], failed=True, last=2) == model.Instant(1, "update")
    assert opening(shown, [msgspec.structs.replace(error, line=7)], failed=False, last=2) == model.Instant(1, "backward")
    at_node = [msgspec.structs.replace(error, node="n2", pass_=each) for each in (None, 1, 0)]
    opened = [opening(shown, [each], failed=False, last=2) for each in at_node]
    assert [each and each.node for each in opened] == ["n2", "n2", None], "the step's main pass is 1"
    assert opening(shown, [warning], failed=True, last=3) == model.Instant(3, "backward")
    assert opening(shown, [], failed=True, last=2) == model.Instant(2, "update")
    assert opening(shown, [warning], failed=False, last=2) == model.Instant(0, "backward")
    assert opening(recording(), [], failed=True, last=-1) is None


@pytest.mark.anyio
async def test_the_unfinished_step_is_served_as_the_one_after_the_last(serve: Serve) -> None:  # noqa: F811
    async with serve([*fit(2)[:-5], pass_(2, 1.2), LATE, STOPPED]) as client:
        run = (await client.post("/api/v1/runs", json={"program": FIT})).json()
        assert (run["steps"], run["unfinished"], run["opens_at"]) == (2, True, {"step": 0, "phase": "backward", "node": None})
        at = f"/api/v1/runs/{run['id']}/steps"
        assert (await client.get(f"{at}/2")).json()["main"] == 2
        assert (await client.get(f"{at}/3")).status_code == 404
        page: httpx.Response = await client.get(f"/r/{run['id']}?step=2")
        assert "9.0" in page.text
        assert "Step 2" in page.text
