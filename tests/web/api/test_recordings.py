"""Test the routes of a recording: steps, graphs, passes, nodes, pictures and columns of numbers."""

from __future__ import annotations

import math

import httpx
import msgspec
import numpy as np
import pytest
from tapedeck import model, wire
from tapedeck.recording import MemoryLog, Recording, Tensors, json_number
from tapedeck.recording.table_stack import TableStack
from tapedeck.web import responses
from tapedeck.web.columns import pass_columns

from ...handmade_events import FIT, GRAPH, fit, ints, pass_, step, table, turns
from ..conftest import Serve

pytestmark = pytest.mark.anyio

END = [wire.EndEvent("done", None, 5.0)]


async def start(client: httpx.AsyncClient) -> str:
    run = (await client.post("/api/v1/runs", json={"program": FIT})).json()
    return f"/api/v1/runs/{run['id']}"


def many(steps: int) -> list[wire.AnyEvent]:
    events: list[wire.AnyEvent] = [wire.StartedEvent("2.13.0", "3.11"), wire.ParameterEvent(0, "m", [], "float32", 4), GRAPH]
    for index in range(steps):
        events += [pass_(index, 1.0 + index / 10), step(index, 1.0, -9.0)]
    return [*events, *END]


async def test_a_step_has_all_its_numbers(client: httpx.AsyncClient) -> None:
    run = await start(client)
    body = (await client.get(f"{run}/steps/0")).json()
    assert body["loss"]["values"] == pytest.approx(14 / 3)
    assert body["lines"] == {"forward": [6], "loss": [7], "backward": [8], "update": [10, 11]}
    passed = body["passes"][0]
    assert passed["edges"]["e3"]["values"] == pytest.approx(-28 / 3)
    assert passed["nodes"]["n4"]["grads"][0]["arrived"]["values"] == pytest.approx(-28 / 3)
    assert passed["order"] == ["n0", "n1", "n2", "n3", "n4"]
    assert body["parameters"][0]["grad_after"]["values"] == pytest.approx(-28 / 3)
    assert (await client.get(f"{run}/passes/0")).json() == passed


async def test_steps_are_returned_in_pages(serve: Serve) -> None:
    async with serve(many(25)) as client:
        run = await start(client)
        first = (await client.get(f"{run}/steps")).json()
        assert [each["index"] for each in first["steps"]] == list(range(20))
        rest = (await client.get(f"{run}/steps", params={"start": first["next"], "count": 1000})).json()
        assert [each["index"] for each in rest["steps"]] == list(range(20, 25))
        assert rest["next"] is None
        assert (await client.get(f"{run}/steps?start=25")).json() == {"steps": [], "next": None}


async def test_a_page_of_steps_ends_at_the_size_limit(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.web.api.recordings.STEPS_BYTES", 1)
    async with serve(many(3)) as client:
        run = await start(client)
        first = (await client.get(f"{run}/steps")).json()
        assert ([each["index"] for each in first["steps"]], first["next"]) == ([0], 1)


async def test_packed_steps_contain_shared_data_once(serve: Serve) -> None:
    events = many(5)
    other = step(5, 1.0, -9.0)
    events[-1:] = [pass_(5, 7.0), msgspec.structs.replace(other, update=[12]), *END]
    async with serve(events) as client:
        run = await start(client)
        headers = {"Accept": "application/msgpack"}
        answer = await client.get(f"{run}/steps?start=1&count=9", headers=headers)
        assert answer.headers["content-type"] == "application/msgpack"
        assert answer.headers["vary"].startswith("Accept,")
        body = msgspec.msgpack.decode(answer.content)
        assert [[each["index"] for each in span["steps"]] for span in body["spans"]] == [[1, 2, 3, 4], [5]]
        assert [span["lines"]["update"] for span in body["spans"]] == [[10, 11], [12]]
        assert body["next"] is None
        (passed,) = body["spans"][0]["passes"]
        table = passed["table"]
        edge = np.frombuffer(passed["edge"], "<i4")
        assert {packed for *_, packed, _ in table["rows"]} == {"<f4"}
        sizes = [math.prod(row[0]) for row in table["rows"]]
        values = np.frombuffer(table["values"], "<f4").reshape(4, -1)
        for position, index in enumerate(range(1, 5)):
            plain = (await client.get(f"{run}/passes/{index}")).json()["edges"]
            row = edge[3]
            assert (
                values[position, sum(sizes[:row]) : sum(sizes[: row + 1])].tolist() == np.ravel(plain["e3"]["values"]).tolist()
            )
        first = msgspec.msgpack.decode((await client.get(f"{run}/steps?count=2", headers=headers)).content)
        assert first["next"] == 2


async def test_a_step_has_the_values_of_lines_that_ran_only_earlier(serve: Serve) -> None:
    async with serve(turns()) as client:
        run = await start(client)
        steps = (await client.get(f"{run}/steps")).json()["steps"]
        earlier_values = [
            {int(line): (value["step"], value["text"]) for line, value in step["earlier"].items()} for step in steps
        ]
        before = {1: (0, "leaf"), 3: (0, "epoch = 0")}
        assert earlier_values == [{}, before | {4: (0, "1.0")}, before | {6: (1, "2.0")}, before | {4: (2, "3.0")}]
        assert (await client.get(f"{run}/steps/2")).json() == steps[2]
        for start_at in range(4):
            packed = await client.get(f"{run}/steps?start={start_at}", headers={"Accept": "application/msgpack"})
            earlier = msgspec.msgpack.decode(packed.content)["earlier"]
            own = steps[start_at]["earlier"]
            assert {line: value for line, value in earlier.items() if line not in steps[start_at]["values"]} == own
        lines = (await client.get(run)).json()["lines"]
        assert [(line["line"], line["step"]) for line in lines] == [(1, 0), (4, 2), (6, 3), (8, None)]


async def test_packed_steps_end_at_the_size_limit(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.web.columns.packed_steps.BYTES", 1)
    async with serve(many(3)) as client:
        run = await start(client)
        body = msgspec.msgpack.decode((await client.get(f"{run}/steps", headers={"Accept": "application/msgpack"})).content)
        assert ([each["index"] for span in body["spans"] for each in span["steps"]], body["next"]) == ([0], 1)


async def test_packed_steps_omit_the_numbers_of_a_graph_that_is_too_large(serve: Serve) -> None:
    async with serve(many(2), limits=model.Limits(answer_nodes=3)) as client:
        run = await start(client)
        body = msgspec.msgpack.decode((await client.get(f"{run}/steps", headers={"Accept": "application/msgpack"})).content)
        (passed,) = body["spans"][0]["passes"]
        assert (passed["value"], passed["edge"], passed["table"]["rows"]) == (None, b"", [])
        assert len(passed["order"]) == 4 * 5


async def test_a_graph_has_the_structure_and_a_node_has_the_details(client: httpx.AsyncClient) -> None:
    run = await start(client)
    graph = (await client.get(f"{run}/graphs/g0")).json()
    assert [node["id"] for node in graph["nodes"]] == ["n0", "n1", "n2", "n3", "n4"]
    assert graph["edges"][3] == {"id": "e3", "source": "n3", "slot": 0, "target": "n4", "input": 0, "gradient": True}
    node = (await client.get(f"{run}/passes/0/nodes/n1")).json()
    assert node["saved"] == [{"name": "self", "tensor": node["saved"][0]["tensor"]}]
    assert node["saved"][0]["tensor"]["values"] == [-1.0, -2.0, -3.0]
    assert [flow["node"] for flow in node["incoming"]] == ["n0"]
    assert [flow["node"] for flow in node["outgoing"]] == ["n2"]
    assert (node["rank"], node["source"]) == (1, "loss = ((y_pred - y) ** 2).mean()")


@pytest.mark.parametrize(
    ("form", "media_type", "beginning"),
    [
        ("svg", "image/svg+xml", b"<svg"),
        ("png", "image/png", b"\x89PNG"),
        ("pdf", "application/pdf", b"%PDF"),
        ("dot", "text/vnd.graphviz; charset=utf-8", b"digraph"),
        ("txt", "text/plain; charset=utf-8", b"step 1, pass 1"),
    ],
)
async def test_a_picture_is_available_in_every_form(
    client: httpx.AsyncClient, form: str, media_type: str, beginning: bytes
) -> None:
    run = await start(client)
    answer = await client.get(f"{run}/passes/1/graph.{form}")
    assert answer.headers["content-type"] == media_type
    assert answer.content.startswith(beginning)


async def test_a_picture_has_the_requested_theme_and_direction(client: httpx.AsyncClient) -> None:
    run = await start(client)
    light = await client.get(f"{run}/passes/0/graph.svg")
    dark = await client.get(f"{run}/passes/0/graph.svg?theme=dark")
    inline = await client.get(f"{run}/passes/0/graph.svg?theme=inline")
    sideways = await client.get(f"{run}/passes/0/graph.svg?direction=LR")
    assert len({light.text, dark.text, inline.text, sideways.text}) == 4
    assert "−9.3333" in light.text
    assert "style=" not in light.text + dark.text + inline.text + sideways.text
    structure = await client.get(f"{run}/graphs/g0/graph.svg")
    assert structure.text.startswith("<svg")
    assert "−9.3333" not in structure.text


async def test_responses_about_an_ended_run_can_be_cached(client: httpx.AsyncClient) -> None:
    run = await start(client)
    for rest in ("", "/steps", "/steps/0", "/graphs/g0", "/passes/0/graph.svg", "/frames", "/series"):
        answer = await client.get(run + rest)
        assert ("immutable" if rest else "no-cache") in answer.headers["cache-control"]  # a run can be renamed
        again = await client.get(run + rest, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
        assert again.content == b""
        assert (await client.get(run + rest, headers={"If-None-Match": 'W/"other"'})).status_code == 200


async def test_a_large_picture_is_sent_in_pieces(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    run = await start(client)
    whole = await client.get(f"{run}/passes/0/graph.dot")
    monkeypatch.setattr(responses, "LARGE", 400)
    async with client.stream("GET", f"{run}/passes/0/graph.dot", headers={"Accept-Encoding": "identity"}) as answer:
        pieces = [piece async for piece in answer.aiter_raw()]
    assert b"".join(pieces) == whole.content
    assert "immutable" in answer.headers["cache-control"]
    assert "etag" not in answer.headers


async def test_a_map_in_rows_whose_layout_failed_is_not_cached(serve: Serve) -> None:
    async with serve(dot="/nowhere/dot") as client:
        run = await start(client)
        answer = await client.get(f"{run}/passes/0/graph.svg?view=")
        assert 'data-layout="rows"' in answer.text
        assert answer.headers["cache-control"] == "no-store"


async def test_frames_are_columns_of_the_numbers_of_many_passes(serve: Serve) -> None:
    async with serve(many(5)) as client:
        run = await start(client)
        fields = "edge.norm,value.values,arrived.mean,value.shape,used.nan"
        body = (await client.get(f"{run}/frames", params={"graph": "g0", "start": 1, "count": 3, "fields": fields})).json()
        assert (body["graph"], body["passes"], body["steps"], body["next"]) == ("g0", [1, 2, 3], [1, 2, 3], 4)
        for row, index in enumerate(body["passes"]):
            passed = (await client.get(f"{run}/passes/{index}")).json()
            edges, nodes = list(passed["edges"].values()), list(passed["nodes"].values())
            assert body["fields"]["edge.norm"][row] == [edge["norm"] for edge in edges]
            assert body["fields"]["value.values"][row] == [node["value"]["values"] for node in nodes]
            assert body["fields"]["value.shape"][row] == [node["value"]["shape"] for node in nodes]
            assert body["fields"]["arrived.mean"][row] == [node["grads"][0]["arrived"]["mean"] for node in nodes]
        rest = (await client.get(f"{run}/frames?start=4")).json()
        assert (rest["passes"], rest["next"]) == ([4], None)
        assert set(rest["fields"]) == {"value.norm", "arrived.norm", "edge.norm"}


async def test_frames_of_a_range_of_columns_have_room_for_more_passes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(many(5)) as client:
        run = await start(client)
        fields = "edge.norm,value.values"
        whole = (await client.get(f"{run}/frames", params={"fields": fields})).json()["fields"]
        monkeypatch.setattr("tapedeck.web.columns.pass_columns.CELLS", 8)
        address = f"{run}/frames?column_start=1&column_count=2"
        part = (await client.get(f"{address}&fields={fields}")).json()
        assert part["passes"] == [0, 1]
        assert part["fields"] == {name: [row[1:3] for row in rows[:2]] for name, rows in whole.items()}
        packed = await client.get(f"{address}&fields=edge.norm", headers={"Accept": "application/msgpack"})
        column = msgspec.msgpack.decode(packed.content)["fields"]["edge.norm"]
        assert column["shape"] == [4, 2]
        beyond = (await client.get(f"{run}/frames?column_start=2147483647&fields=edge.norm")).json()
        assert beyond["fields"]["edge.norm"] == [[]] * 5


async def test_frames_are_packed_if_msgpack_is_accepted(serve: Serve) -> None:
    async with serve(many(3)) as client:
        run = await start(client)
        plain = (await client.get(f"{run}/frames?fields=edge.norm")).json()
        packed = await client.get(f"{run}/frames?fields=edge.norm", headers={"Accept": "application/msgpack"})
        assert packed.headers["content-type"] == "application/msgpack"
        assert "Accept" in packed.headers["vary"]
        column = msgspec.msgpack.decode(packed.content)["fields"]["edge.norm"]
        matrix = np.frombuffer(column["data"], column["dtype"]).reshape(column["shape"])
        assert matrix.tolist() == plain["fields"]["edge.norm"]
        refused = await client.get(f"{run}/frames?fields=edge.values", headers={"Accept": "application/msgpack"})
        assert refused.status_code == 422


async def test_frames_end_at_the_size_limit(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapedeck.web.columns.pass_columns.CELLS", 1)
    async with serve(many(3)) as client:
        run = await start(client)
        assert (await client.get(f"{run}/frames")).json()["next"] == 1
        packed = await client.get(f"{run}/frames", headers={"Accept": "application/msgpack"})
        assert msgspec.msgpack.decode(packed.content)["next"] == 1


@pytest.mark.parametrize("kind", pass_columns.STATISTICS)
def test_a_column_of_statistics_equals_those_of_each_row(kind: str) -> None:
    rows = table(1.5, [1.0, -2.0], math.nan, -math.inf, [3.0], -4.0, 0.0)
    stack, tensors = TableStack.of([rows]), Tensors(rows)
    for row in range(7):
        values, known = stack.statistic(row, kind)
        assert known.all()
        assert json_number(float(values[0])) == getattr(tensors.summary(row), kind)
    assert not stack.statistic(-1, kind)[1].any()  # row -1 is no tensor


async def test_frames_of_passes_with_different_layouts_are_in_order(serve: Serve) -> None:
    events: list[wire.AnyEvent] = [wire.StartedEvent("2.13.0", "3.11"), wire.ParameterEvent(0, "m", [], "float32", 4), GRAPH]
    for index in range(6):
        event = pass_(index, 1.0 + index / 10)
        events += [event if index % 3 else msgspec.structs.replace(event, value=ints(0, 1, 2, -1, 4)), step(index, 1.0, -9.0)]
    async with serve([*events, *END]) as client:
        run = await start(client)
        body = (await client.get(f"{run}/frames?fields=value.max,value.zeros")).json()
        for index in range(6):
            nodes = (await client.get(f"{run}/passes/{index}")).json()["nodes"].values()
            assert body["fields"]["value.max"][index] == [node["value"] and node["value"]["max"] for node in nodes]
            assert body["fields"]["value.zeros"][index] == [node["value"] and node["value"]["zeros"] for node in nodes]


def test_frames_are_null_for_tensors_that_were_not_recorded() -> None:
    empty = msgspec.structs.replace(pass_(0, 1.0), edge=ints(-1, 7, -1, 9))
    recording = Recording(MemoryLog([GRAPH, empty]), FIT)
    frames = pass_columns.frames(recording, 0, 0, 10, ["edge.norm", "edge.values"])
    norms, values = frames.fields["edge.norm"][0], frames.fields["edge.values"][0]
    assert [norm is None for norm in norms] == [value is None for value in values] == [True, False, True, False]
    column = pass_columns.packed(recording, 0, 0, 10, ["edge.norm"]).fields["edge.norm"]
    assert np.isnan(np.frombuffer(column.data)).tolist() == [True, False, True, False]


async def test_responses_about_a_run_in_progress_cannot_be_cached(serve: Serve) -> None:
    from ...fake_executor import forever

    async with serve(fit()[:5], forever) as client:
        answer = await client.post("/api/v1/runs", json={"program": FIT}, headers={"Prefer": "wait=0"})
        run = answer.headers["location"]
        while (page := await client.get(f"{run}/steps")).json()["steps"] == []:
            pass
        assert page.headers["cache-control"] == "no-store"
        assert "etag" not in page.headers
        await client.post(f"{run}/cancel")


async def test_a_map_groups_a_graph_and_sums_a_pass(client: httpx.AsyncClient) -> None:
    run = await start(client)
    shown = (await client.get(f"{run}/graphs/g0/map?pass=0")).json()
    assert (shown["graph"], shown["pass"], shown["unknown"]) == ("g0", 0, [])
    assert sum(box["nodes"] for box in shown["boxes"]) == 4
    assert shown["boxes"][0]["arrives"] == {"value": 1.0, "exact": True}
    closed = (await client.get(f"{run}/graphs/g0/map", params={"view": "m:gone"})).json()
    assert (closed["pass"], closed["unknown"], closed["view"]) == (None, ["m:gone"], "")
    assert closed["boxes"][0]["arrives"]["value"] is None
    revealed = (await client.get(f"{run}/graphs/g0/map?reveal=n3")).json()
    assert "n3" in [box["node"] for box in revealed["boxes"]]
    drawn = await client.get(f"{run}/passes/0/graph.svg", params={"view": closed["view"]})
    assert 'class="graph map"' in drawn.text
    assert (await client.get(f"{run}/graphs/g0/graph.png", params={"view": ""})).content.startswith(b"\x89PNG")


async def test_the_numbers_of_a_map_are_columns_over_the_passes(serve: Serve) -> None:
    async with serve(many(5)) as client:
        run = await start(client)
        path = f"{run}/graphs/g0/map"
        found = (await client.get(f"{path}/numbers", params={"view": "", "start": 1, "count": 3})).json()
        assert (found["passes"], found["steps"], found["next"]) == ([1, 2, 3], [1, 2, 3], 4)
        for row, index in enumerate(found["passes"]):
            shown = (await client.get(path, params={"view": found["view"], "pass": index})).json()
            boxes, ids = shown["boxes"], found["boxes"]
            assert ids == [box["id"] for box in boxes]
            for column in ("arrives", "passed_on", "parameters"):
                assert found[column][row] == [box[column]["value"] for box in boxes]
            assert found["ran"][row] == [box["ran"] for box in boxes]
            assert found["series"][row] == [next(iter(box["series"]), None) for box in boxes]
            ends = [[ids[source], ids[target]] for source, target in found["links"]]
            assert ends == [[edge["source"], edge["target"]] for edge in shown["edges"]]
            assert found["edges"][row] == [edge["norm"]["value"] for edge in shown["edges"]]
            assert found["arrives_at_leaves"][row] == [leaf["arrives"]["value"] for leaf in shown["leaves"]]
        assert len({str(found["arrives"][row]) for row in range(3)}) > 1, "the passes differ"
        for wrong in ("start=-1", "count=0", "count=101", "view=" + "x" * 9_000):
            assert (await client.get(f"{path}/numbers?{wrong}")).status_code == 422
        assert (await client.get(f"{run}/graphs/g9/map/numbers")).status_code == 404


async def test_a_graph_is_searched(client: httpx.AsyncClient) -> None:
    run = await start(client)
    found = (await client.get(f"{run}/graphs/g0/search", params={"q": "grad < 0", "step": 0, "limit": 1})).json()
    assert (found["graph"], found["pass"], found["q"], found["count"]) == ("g0", 0, "grad < 0", 0)
    found = (await client.get(f"{run}/graphs/g0/search", params={"q": "m grad > 9", "pass": 0, "limit": 1})).json()
    assert (found["count"], [hit["name"] for hit in found["hits"]]) == (1, ["m"])
    assert found["hits"][0]["norm"] == pytest.approx(28 / 3)
    wrong = await client.get(f"{run}/graphs/g0/search", params={"q": "grad >"})
    assert (wrong.status_code, wrong.json()["where"]) == (422, "q")


async def test_the_modules_of_a_step_are_read(client: httpx.AsyncClient) -> None:
    run = await start(client)
    last = (await client.get(f"{run}/models")).json()
    assert last["step"] == last["pass"] == 1
    for address in ("models?step=0", "models?pass=0"):
        found = (await client.get(f"{run}/{address}")).json()
        assert (found["graph"], found["pass"], found["step"], found["rows"]) == ("g0", 0, 0, [])
        assert [(each["name"], each["gradient"]) for each in found["outside"]] == [("m", pytest.approx(28 / 3))]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("models?step=9", 404), ("models?pass=9", 404), ("models?step=0&pass=0", 422),
        ("graphs/g0/search", 422), ("graphs/g7/search?q=x", 404), ("graphs/g0/search?q=nan", 422),
        ("graphs/g0/search?q=nan&step=9", 404), ("graphs/g0/search?q=x&limit=1001", 422), ("graphs/g0/search?q=", 422),
        ("graphs/g0/map?pass=7", 404), ("graphs/g7/map", 404), ("graphs/g0/map?reveal=n99", 422),
        ("graphs/g0/map?view=" + "x" * 9_000, 422), ("graphs/g0/map?pass=-1", 422), ("passes/0/graph.svg?reveal=m", 422),
    ],
)  # fmt: skip
async def test_a_map_that_does_not_exist_is_a_problem(client: httpx.AsyncClient, path: str, status: int) -> None:
    answer = await client.get(f"{await start(client)}/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
