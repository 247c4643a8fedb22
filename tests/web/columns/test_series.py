"""Test series: each number equals that of its step, gaps are null, and thinning keeps extremes."""

from __future__ import annotations

import asyncio
import itertools
import math
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tapedeck import wire
from tapedeck.recording import MemoryLog, Recording, StepSeries
from tapedeck.recording.series import thinned, usual_keys
from tapedeck.web.columns import series as series_module
from tapedeck.web.columns.series import series

from ...handmade_events import FIT, GRAPH, fit, pass_, step, table
from ..conftest import Serve

pytestmark = pytest.mark.anyio


async def start(client: httpx.AsyncClient) -> str:
    run = (await client.post("/api/v1/runs", json={"program": FIT})).json()
    return f"/api/v1/runs/{run['id']}"


async def ask(client: httpx.AsyncClient, run: str, *keys: str, **more: Any) -> dict[str, Any]:
    answer = await client.get(f"{run}/series", params={"key": list(keys), **more})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def made(*steps: wire.StepEvent) -> Recording:
    return Recording(MemoryLog([wire.ParameterEvent(0, "m", [], "float32", 4), GRAPH, *steps]), FIT)


def of_losses(*losses: float) -> Recording:
    """Return a recording of steps that have only a loss."""
    return made(
        *(msgspec.structs.replace(step(at, 1.0, 1.0), parameters=[], tensors=table(loss)) for at, loss in enumerate(losses))
    )


async def test_every_number_equals_that_of_its_step(serve: Serve) -> None:
    async with serve(fit(30)) as client:
        run = await start(client)
        body = await ask(
            client, run, "loss", "loss:loss", "p0", "p0.grad.norm", "p0.value_after", "p0.contribution", "iteration"
        )
        assert body["index"] == list(range(30))
        for at in body["index"]:
            own = (await client.get(f"{run}/steps/{at}")).json()
            (parameter,) = own["parameters"]
            assert {key: column[at] for key, column in body["series"].items()} == {
                "loss": own["loss"]["values"],
                "loss:loss": own["loss"]["values"],
                "p0": parameter["value"]["values"],
                "p0.grad.norm": parameter["grad_after"]["norm"],
                "p0.value_after": parameter["value_after"]["values"],
                "p0.contribution": parameter["contribution"]["values"],
                "iteration": at,
            }


async def test_the_default_keys_are_the_losses_the_parameters_and_the_learning_rate(serve: Serve) -> None:
    events = [
        msgspec.structs.replace(event, optimizer={"name": "SGD", "lr": 0.1 / (event.index + 1), "nesterov": True})
        if isinstance(event, wire.StepEvent)
        else event
        for event in fit(3)
    ]
    async with serve(events) as client:
        run = await start(client)
        body = (await client.get(f"{run}/series")).json()
        assert list(body["series"]) == ["loss:loss", "p0", "lr"]
        assert body["series"]["lr"] == [0.1, 0.05, 0.1 / 3]
        body = await ask(client, run, "optimizer.*")
        assert body["series"] == {"lr": [0.1, 0.05, 0.1 / 3], "optimizer.nesterov": [1.0, 1.0, 1.0]}


async def test_start_and_count_select_steps(serve: Serve) -> None:
    async with serve(fit(5)) as client:
        run = await start(client)
        whole = await ask(client, run, "loss")
        some = await ask(client, run, "loss", start=1, count=3)
        assert some == {"index": [1, 2, 3], "series": {"loss": whole["series"]["loss"][1:4]}}
        assert await ask(client, run, "loss", start=9) == {"index": [], "series": {"loss": []}}


async def test_series_are_packed_if_msgpack_is_accepted(serve: Serve) -> None:
    steps = [step(0, 1.0, 2.0), msgspec.structs.replace(step(1, 1.0, 2.0), loss_row=-1), step(2, math.nan, 2.0)]
    passes = [pass_(at, 1.0) for at in range(3)]
    async with serve([wire.StartedEvent("2.13.0", "3.11"), GRAPH, *passes, *steps, wire.EndEvent("done", None, 1.0)]) as client:
        run = await start(client)
        answer = await client.get(f"{run}/series?key=loss&key=p0", headers={"Accept": "application/msgpack"})
        assert answer.headers["content-type"] == "application/msgpack"
        body = msgspec.msgpack.decode(answer.content)
        assert np.frombuffer(body["index"]["data"], "<i4").tolist() == [0, 1, 2]
        loss, m = body["series"]["loss"], body["series"]["p0"]
        assert np.isnan(np.frombuffer(loss["data"], loss["dtype"])).tolist() == [False, True, False]
        assert loss["gaps"] == [1]
        assert np.isnan(np.frombuffer(m["data"], m["dtype"])).tolist() == [False, False, True]
        assert m["gaps"] == []  # the NaN of m is a value of the program, not a gap


def test_each_name_of_a_loss_is_a_series() -> None:
    names = ("d_loss", "g_loss", "d_loss")
    steps = [msgspec.structs.replace(step(at, 1.0, 2.0), loss_name=name) for at, name in enumerate(names)]
    result = series(made(*steps), ["loss", "loss:*"], 0, None, None)
    assert set(result.series) == {"loss", "loss:d_loss", "loss:g_loss"}
    assert [value is None for value in result.series["loss:d_loss"]] == [False, True, False]
    assert [value is None for value in result.series["loss:g_loss"]] == [True, False, True]
    assert None not in result.series["loss"]


def test_non_finite_numbers_are_strings() -> None:
    result = series(of_losses(1.0, math.nan, math.inf, -math.inf), ["loss"], 0, None, None)
    assert result.series["loss"] == [1.0, "NaN", "Infinity", "-Infinity"]


def test_keys_select_elements_and_statistics_of_a_vector() -> None:
    changed = [
        msgspec.structs.replace(each, parameters=[wire.ParameterRow(0, "m", 4, 2, -1, 2, 3, state={"exp_avg": 4})])
        for each in (step(0, 1.0, 2.0), step(1, 3.0, 2.0))
    ]
    keys = ["p0", "p0.value[1]", "p0.value.max", "p0.value.zeros", "p0.state.exp_avg.mean", "p0.state.*", "p0.grad_before"]
    result = series(made(*changed), keys, 0, None, None).series
    assert result["p0.value[1]"] == [2.0, 6.0]
    assert result["p0.value.max"] == [3.0, 9.0]
    assert result["p0.value.zeros"] == [0.0, 0.0]
    assert result["p0.state.exp_avg.mean"] == [2.0, 6.0]
    assert result["p0"] == result["p0.state.exp_avg"] == [14**0.5, 3 * 14**0.5]
    assert result["p0.grad_before"] == [None, None]


def test_series_of_steps_with_different_layouts_are_in_order() -> None:
    odd = [msgspec.structs.replace(step(at, float(at), 2.0), loss_row=0 if at % 2 else 1) for at in range(6)]
    result = series(made(*odd), ["p0", "loss"], 0, None, None)
    assert result.index == list(range(6))
    assert result.series["p0"] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert result.series["loss"][::2] == [0.0, 2.0, 4.0]


def test_thinning_never_drops_an_extreme() -> None:
    generator = np.random.default_rng(0)
    losses = np.float32(generator.normal(size=5000)).tolist()
    losses[1234], losses[3210], losses[4000] = 50.0, -50.0, math.nan
    result = series(of_losses(*losses), ["loss"], 0, None, 100)
    assert len(result.index) <= 101
    assert (result.index[0], result.index[-1]) == (0, 4999)
    kept = dict(zip(result.index, result.series["loss"], strict=True))
    assert (kept[1234], kept[3210], kept[4000]) == (50.0, -50.0, "NaN")
    edges = np.linspace(0, 5000, 50).astype(int)
    for low, high in itertools.pairwise(edges):
        inside = [value for value in losses[low:high] if math.isfinite(value)]
        shown = [value for at, value in kept.items() if low <= at < high and isinstance(value, float)]
        assert (min(shown), max(shown)) == (min(inside), max(inside))


@given(
    st.lists(st.sampled_from([None, math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, 2.0]), min_size=3, max_size=40), st.data()
)
def test_thinning_keeps_the_first_extremes_and_the_first_non_finite_number_of_each_interval(
    losses: list[float | None], data: st.DataObject
) -> None:
    points = data.draw(st.integers(2, len(losses) - 1))
    values = np.array([math.nan if value is None else value for value in losses])
    known = np.array([value is not None for value in losses])
    left = thinned(StepSeries(np.arange(len(losses)), {"loss": values}, {"loss": known}), points)
    edges = np.linspace(0, len(losses), max(1, (points - 2) // 2) + 1).astype(int)
    chosen = {0, len(losses) - 1}
    for low, high in itertools.pairwise(edges.tolist()):
        there = [at for at in range(low, high) if known[at]]
        finite = [at for at in there if math.isfinite(values[at])]
        chosen |= {min(finite, key=values.item), max(finite, key=values.item)} if finite else {low}
        chosen |= set([at for at in there if at not in finite][:1])
    assert left.index.tolist() == sorted(chosen)
    assert np.array_equal(left.values["loss"], values[left.index], equal_nan=True)
    assert left.present["loss"].tolist() == known[left.index].tolist()


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("colour", "Unknown key 'colour': the keys are loss, loss:NAME, iteration, lr"),
        ("p0.grad.median", "with .min, .max, .mean, .norm"),
        ("p7", "No step has 'p7': this run has loss, iteration, loss:loss, p0."),
        ("loss:d_loss", "this run has loss, iteration, loss:loss, p0."),
        ("lr", "No step has 'lr'"),
        ("p0.state.exp_avg", "No step has 'p0.state.exp_avg'"),
        ("p0.value[1]", "p0.value has the shape []: there is no element [1] in it."),
    ],
)
async def test_an_unknown_key_is_rejected_with_the_available_ones(client: httpx.AsyncClient, key: str, sentence: str) -> None:
    run = await start(client)
    answer = await client.get(f"{run}/series", params={"key": ["loss", key]})
    assert answer.status_code == 422
    body = answer.json()
    assert sentence in body["detail"]
    assert body["where"] == "query.key"


async def test_a_request_for_too_many_numbers_is_rejected(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.web.columns.series.CELLS", 3)
    run = await start(client)
    answer = await client.get(f"{run}/series", params={"key": ["loss", "p0"], "points": 100_000})
    assert answer.status_code == 422
    assert "request fewer keys or points" in answer.json()["detail"]


async def test_the_size_of_series_does_not_grow_with_the_steps_unless_requested(serve: Serve) -> None:
    async with serve(fit(10_000)) as client:
        run = await start(client)
        keys = {"key": ["loss", "p0", "p0.grad", "iteration"]}
        answer = await client.get(f"{run}/series", params=keys)
        assert len(answer.content) < 500_000
        body = answer.json()
        shown, series = body["index"], body["series"]
        assert 1_000 <= len(shown) <= 5_000
        assert body["omitted"] == {"steps": 10_000 - len(shown)}
        whole = (await client.get(f"{run}/series", params=keys | {"points": 100_000})).json()
        assert whole["index"] == list(range(10_000))
        assert "omitted" not in whole
        for key in keys["key"]:
            assert series[key] == [whole["series"][key][at] for at in shown]
            assert (min(series[key]), max(series[key])) == (min(whole["series"][key]), max(whole["series"][key]))
        packed = await client.get(f"{run}/series", params=keys, headers={"Accept": "application/msgpack"})
        assert msgspec.msgpack.decode(packed.content)["omitted"] == body["omitted"]


def test_many_keys_have_fewer_steps_by_default() -> None:
    chance = np.random.default_rng(0)
    values = {f"p{number}": chance.standard_normal(10_000) for number in range(50)}
    made = StepSeries(np.arange(10_000), values, {key: np.ones(10_000, bool) for key in values})
    bounded = series_module._bounded(made)
    assert len(bounded.index) * 50 <= series_module.DEFAULT_CELLS
    assert all(values[key].max() in bounded.values[key] for key in values)


async def test_the_curves_of_a_long_run_are_stored_when_it_ends(serve: Serve, tmp_path: Path) -> None:
    async with serve(fit(300), folder=tmp_path) as client:
        run = (await client.post("/api/v1/runs", json={"program": FIT})).json()
        async with asyncio.timeout(20):
            while not stored_series(tmp_path):
                await asyncio.sleep(0.02)
        assert stored_series(tmp_path) == {f"series:{key}" for key in usual_keys([[]])}
        with sqlite3.connect(tmp_path / "tapedeck.sqlite3") as connection:
            connection.execute("UPDATE blocks SET payload = x'00'")
        curves = (await client.get(f"/api/v1/runs/{run['id']}/series?key=loss&key=p0.value")).json()
        assert [len(column) for column in curves["series"].values()] == [300, 300]
        assert (await client.get(f"/api/v1/runs/{run['id']}")).json()["stdout"] == "done\n"


def stored_series(folder: Path) -> set[str]:
    """Return the names of the stored series in a store with one run."""
    with sqlite3.connect(folder / "tapedeck.sqlite3") as connection:
        return {name for (name,) in connection.execute("SELECT name FROM derived WHERE name LIKE 'series:%'")}
