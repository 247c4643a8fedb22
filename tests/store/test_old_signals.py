"""Recordings that were stored when all signals shared one struct are still readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tapedeck import wire
from tapedeck.explain.findings import find
from tapedeck.recording import Recording
from tapedeck.store import Store
from tapedeck.store.block import EventBlock, pack_block
from tapedeck.store.old_signals import OldSignal

from ..handmade_events import FIT, fit
from .test_store import DONE, new

END = wire.EndEvent("done", None, 1.0)
FAILURE = {"type": "ValueError", "message": "no"}
PAIRS: list[tuple[OldSignal, wire.Signal]] = [
    (
        OldSignal("caught", line=3, detail={**FAILURE, "handler": 5}),
        wire.Caught(line=3, error="ValueError", message="no", handler=5),
    ),
    (
        OldSignal(
            "pass-failed",
            line=8,
            step=1,
            node=2,
            detail={**FAILURE, "pass": 1, "graph": 0, "raised": -1, "earlier": 0, "saved": "self", "changed": 7},
        ),
        wire.PassFailed(
            line=8,
            error="ValueError",
            message="no",
            step=1,
            pass_=1,
            graph=0,
            node=2,
            raised=-1,
            earlier=0,
            saved="self",
            changed=7,
        ),
    ),
    (
        OldSignal("leaf-rebound", None, 9, 0, -1, 1, {"name": "m", "grad_fn": None}),
        wire.LeafRebound(line=9, step=0, parameter=1, name="m", grad_fn=None),
    ),
    (
        OldSignal("non-leaf-grad", line=4, step=0, detail={"graph": 0, "name": None}),
        wire.NonLeafGrad(line=4, step=0, graph=0, name=None),
    ),
    (
        OldSignal("requires-grad-late", line=4, step=0, detail={"name": "w", "passes": 1}),
        wire.RequiresGradLate(line=4, step=0, name="w", passes=1),
    ),
    (
        OldSignal("broadcast", line=7, step=0, detail={"shapes": "4,1 "}),
        wire.Broadcast(line=7, step=0, shapes=([4, 1], [])),
    ),
    (
        OldSignal("unused-parameter", line=2, detail={"name": "w", "optimizer": "SGD", "steps": 10}),
        wire.UnusedParameter(line=2, name="w", optimizer="SGD", steps=10),
    ),
    (OldSignal("implicit-pass", detail={"scalar": True}), wire.ImplicitPass(scalar=True)),
    (OldSignal("implicit-pass-failed", detail={"message": "no"}), wire.ImplicitPassFailed(message="no")),
    (OldSignal("graph-too-large", line=6, detail={"limit": 20}), wire.GraphTooLarge(line=6, limit=20)),
    (OldSignal("stdout-truncated", detail={"limit": 20}), wire.StdoutTruncated(limit=20)),
    (OldSignal("recorder-failed", detail={"message": "no"}), wire.RecorderFailed(message="no")),
    (OldSignal("numbers-left-out"), wire.NumbersLeftOut()),
    (OldSignal("plotting-stand-in", line=1), wire.PlottingStandIn(line=1)),
    (OldSignal("saved-tensors-unread", line=1), wire.SavedTensorsUnread(line=1)),
    (OldSignal("batched", line=1), wire.Batched(line=1)),
    (OldSignal("forward-mode", line=1), wire.ForwardModeUsed(line=1)),
]

OLD_CODES = {
    "caught", "pass-failed", "leaf-rebound", "non-leaf-grad", "requires-grad-late", "broadcast", "unused-parameter",
    "implicit-pass", "implicit-pass-failed", "graph-too-large", "stdout-truncated", "recorder-failed", "numbers-left-out",
    "plotting-stand-in", "saved-tensors-unread", "batched", "forward-mode",
}  # fmt: skip
"""The codes of the time when all signals shared one struct. A later signal has no old form."""


@pytest.mark.parametrize(("old", "expected"), PAIRS, ids=[old.code for old, _ in PAIRS])
def test_every_stored_signal_is_read_as_the_struct_of_its_code(old: Any, expected: wire.Signal) -> None:
    assert EventBlock(pack_block([old, END])).event(0) == expected


def test_every_code_that_was_ever_stored_in_the_old_form_is_covered_by_the_test_above() -> None:
    assert {old.code for old, _ in PAIRS} == OLD_CODES


@pytest.mark.parametrize(
    "invalid",
    [
        OldSignal("unheard-of"),
        OldSignal("caught", detail={"message": 1.5}),
        OldSignal("leaf-rebound", step=-1, parameter=0, detail={"name": "m", "grad_fn": None}),
        OldSignal("broadcast", step=0, detail={"shapes": "4,x 4"}),
        OldSignal("broadcast", step=0, detail={"shapes": 4}),
        OldSignal("implicit-pass", detail={"scalar": "yes"}),
    ],
    ids=lambda old: old.code,
)
def test_an_invalid_stored_signal_is_skipped_and_the_other_events_keep_their_index(invalid: Any) -> None:
    block = EventBlock(pack_block([wire.OutputEvent("1"), invalid, END]))
    assert len(block) == 3
    assert block.positions(wire.Event) == [0, 2]
    assert block.event(2) == END


def test_an_old_recording_has_the_findings_of_a_new_one(tmp_path: Path) -> None:
    found = []
    for name, signal in (("old", OldSignal("graph-too-large", line=8, detail={"limit": 20})), ("new", PAIRS[9][1])):
        store = Store(tmp_path / name)
        events: list[Any] = [*fit()[:-1], signal, END]
        store.write(new(), events, 0, DONE)
        run = store.get("a" * 32)
        assert run is not None
        recording = Recording(store.log(run), FIT)
        assert [type(each) for each in recording.signals()] == [wire.GraphTooLarge]
        found.append([finding.message for finding in find(recording, new().program)])
        store.close()
    assert found[0] == found[1]
