"""Test that pages show their main content without JavaScript, under a strict content policy."""

from __future__ import annotations

import json
import re
import threading
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from markupsafe import escape
from tapedeck import model, wire
from tapedeck.assets import static_path
from tapedeck.examples import FIRST_VISIT, gallery
from tapedeck.explain.registry import RULES
from tapedeck.web.pages import pages, playground, templates
from tapedeck.web.pages.gallery import all_examples
from tapedeck.web.pages.listing import LISTED_LINES, listing
from tapedeck.web.pages.margin import Note
from tapedeck.web.pages.playhead import Playhead

from ...fake_executor import FakeExecutor, InlineFinder
from ...handmade_events import FIT, TURNS, fit, turns
from ..conftest import Serve

pytestmark = pytest.mark.anyio

HTML = {"Accept": "text/html,application/xhtml+xml"}


async def start(client: httpx.AsyncClient, program: str = FIT) -> str:
    return str((await client.post("/api/v1/runs", json={"program": program})).json()["id"])


def state_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="state">(.*?)</script>', page, re.DOTALL)
    assert found
    state: dict[str, Any] = json.loads(found[1])
    return state


async def test_a_saved_run_shows_everything_without_scripts(client: httpx.AsyncClient) -> None:
    id = await start(client)
    page = (await client.get(f"/r/{id}", headers=HTML)).text
    plain = unescape(re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))
    assert "loss = ((y_pred - y) ** 2).mean()" in plain
    assert '<output class="cm-value" title="tensor(4.6667)">4.6667</output>' in plain
    assert "<svg" in plain
    assert "−9.3333" in plain
    assert re.search(rf'rel="next" href="/r/{id}\?step=1"', plain)
    assert 'rel="prev"' not in plain
    after = unescape((await client.get(f"/r/{id}?step=1&node=n4&theme=dark", headers=HTML)).text)
    assert re.search(rf'rel="prev" href="/r/{id}\?node=n4&theme=dark"', after)
    assert 'data-theme="dark"' in after
    assert f"/api/v1/runs/{id}/passes/1/graph.png?theme=dark" in after


async def test_the_tab_of_a_mistake_has_its_code_and_other_long_titles_end_at_a_word(client: httpx.AsyncClient) -> None:
    assert "<title>data-update · Tapedeck</title>" in (await client.get("/?example=pitfall-data-update", headers=HTML)).text
    title = "A parameter that is updated through .data, where autograd does not see it"
    answer = await client.post("/api/v1/runs", json={"program": f"# {title}\nimport torch\n"})
    page = (await client.get(f"/r/{answer.json()['id']}", headers=HTML)).text
    assert "<title>A parameter that is updated through .data… · Tapedeck</title>" in page
    assert f'<meta property="og:title" content="{title}">' in page


async def test_each_example_opens_with_its_own_recording(client: httpx.AsyncClient) -> None:
    gallery_page = (await client.get("/examples", headers=HTML)).text
    links = re.findall(r'href="(/\?example=([a-z-]+))" aria-label="Open', gallery_page)
    assert [slug for _, slug in links] == [each.slug for each in all_examples()]
    for each in gallery()[:3]:
        page = (await client.get(f"/?example={each.slug}", headers=HTML)).text
        state = state_of(page)
        assert (state["example"], state["run"]["program"]) == (each.slug, each.program)
        assert f"<title>{escape(each.title)} · Tapedeck</title>" in page
        assert f'<meta property="og:title" content="{escape(each.title)}">' in page
        assert re.search(r'og:image" content="http://testserver/api/v1/runs/\w+/passes/\d+/graph.png', page)
        assert re.search(r'rel="next" href="/\?example=[a-z-]+&amp;step=1"', page)
    assert (await client.get("/?example=none", headers=HTML)).status_code == 404


async def test_the_guide_has_no_dead_link(client: httpx.AsyncClient) -> None:
    """Every link of the guide, of the page's tooltips included, leads to a page with its anchor."""
    terms = (static_path().parent / "src" / "core" / "terms.js").read_text()
    anchors = re.findall(r'^  "?([\w-]+)"?: "', terms, re.MULTILINE)
    assert len(anchors) == 4
    links = {f"/guide/graph#{anchor}" for anchor in anchors}
    for path in ("/guide", "/guide/graph", "/guide/play", "/guide/how", "/teach"):
        text = (await client.get(path, headers=HTML)).text
        links |= {unescape(link) for link in re.findall(r'<a href="(/[^"]*)"', text[text.index("<main") :])}
    found: dict[str, str] = {}
    for link in sorted(links):
        path, _, anchor = link.partition("#")
        if path not in found:
            answer = await client.get(path, headers=HTML)
            assert answer.status_code == 200, link
            found[path] = answer.text
        assert not anchor or f'id="{anchor}"' in found[path], link
    assert (await client.get("/guide/none", headers=HTML)).status_code == 404


async def test_the_page_contains_the_whole_state_for_the_script(client: httpx.AsyncClient) -> None:
    id = await start(client)
    state = state_of((await client.get(f"/r/{id}?step=1&node=n2", headers=HTML)).text)
    assert state["run"] == (await client.get(f"/api/v1/runs/{id}")).json()
    assert state["step"] == (await client.get(f"/api/v1/runs/{id}/steps/1")).json()
    assert state["graph"] == (await client.get(f"/api/v1/runs/{id}/graphs/g0")).json()
    assert (state["node"], state["home"], state["svg_inline"], state["api"]) == ("n2", False, True, "/api/v1")
    assert state["limits"]["wall_seconds"] == 10.0


async def test_the_first_visit_shows_a_recording_that_is_made_only_once(serve: Serve) -> None:
    executor = FakeExecutor(fit())
    async with serve(executor=executor) as client:
        first = (await client.get("/", headers=HTML)).text
        second = (await client.get("/", headers=HTML)).text
        assert "−9.3333" in first
        state = state_of(first)
        assert state["home"]
        assert state["program"] == next(each.program for each in gallery() if each.slug == FIRST_VISIT)
        assert state["run"] == state_of(second)["run"]
        assert len(executor.jobs) == 1
        assert (await client.delete(f"/api/v1/runs/{state['run']['id']}")).status_code == 403
    async with serve(executor=executor) as client:
        assert state_of((await client.get("/", headers=HTML)).text)["run"] == state["run"]
        assert len(executor.jobs) == 1


async def test_the_first_visit_shows_a_program_even_while_programs_cannot_run(serve: Serve) -> None:
    executor = FakeExecutor()
    executor.ready = False
    async with serve(executor=executor) as client:
        answer = await client.get("/", headers=HTML)
        state = state_of(answer.text)
        assert answer.status_code == 200
        assert (state["run"], state["mode"]) == (None, "starting")
        assert "loss.backward()" in state["program"]
        executor.failure = "Nothing can confine."
        assert state_of((await client.get("/", headers=HTML)).text)["mode"] == "refused"


async def test_text_from_a_program_is_escaped(serve: Serve) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"
    events = [
        wire.StartedEvent("2.13.0", "3.11"),
        wire.OutputEvent(evil),
        wire.LinesEvent([wire.LineRow(1, None, evil)], wire.TensorTable()),
        wire.CellEvent(0, evil),
        wire.EndEvent("failed", wire.ProgramFailure("E" + evil, evil, None, 1, evil), 1.0),
    ]
    async with serve(events) as client:
        id = await start(client, f"# {evil}")
        answer = await client.get(f"/r/{id}", headers=HTML)
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert "{{ 7 * 7 }}" in unescape(answer.text)
        assert state_of(answer.text)["run"]["program"] == f"# {evil}"
        picture = await client.post(
            "/api/v1/runs", content=f"# {evil}", headers={"Content-Type": "text/x-python", "Accept": "image/svg+xml"}
        )
        assert b"<script>" not in picture.content


async def test_code_quoted_in_a_finding_is_escaped(serve: Serve) -> None:
    program = "x = f('<script>alert(1)</script>').detach()\nx.backward()"
    lost = "element 0 of tensors does not require grad and does not have a grad_fn"
    async with serve([wire.EndEvent("failed", wire.ProgramFailure("RuntimeError", lost, None, 2, ""), 1.0)]) as client:
        page = (await client.get(f"/r/{await start(client, program)}", headers=HTML)).text
        assert "<script>alert" not in page
        assert "<code>f(&#39;&lt;script&gt;alert(1)&lt;/script&gt;&#39;).detach()</code> on line 1 cuts the graph." in page


async def test_every_page_has_a_strict_policy_with_its_own_nonce(client: httpx.AsyncClient) -> None:
    id = await start(client)
    nonces = set()
    for path in ("/", f"/r/{id}", "/examples", "/findings", "/guide", "/docs", "/nothing"):
        answer = await client.get(path, headers=HTML)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self' 'nonce-")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        nonce = re.search(r"'nonce-([^']+)'", policy)
        assert nonce
        assert f'content="{nonce[1]}"' in answer.text
        nonces.add(nonce[1])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        # no inline script or style, which the policy would block, and no link to another origin
        assert not re.search(r"<script(?![^>]*(src=|application/json))", answer.text)
        assert not re.search(
            r"\sstyle=|\son\w+=|<style", re.sub(r"<pre.*?</pre>|<script.*?</script>", "", answer.text, flags=re.DOTALL)
        )
        assert not re.search(r'(src|href)="(?!http://testserver/)(https?:)?//', answer.text)
    assert len(nonces) == 7


async def test_no_link_on_the_pages_is_broken(client: httpx.AsyncClient) -> None:
    for path in ("/", "/examples", "/findings", "/docs"):
        page = unescape((await client.get(path, headers=HTML)).text)
        for link in sorted(set(re.findall(r'(?:href|src|data-openapi)="(/[^"#]*)', page))):
            answer = await client.get(link)
            assert answer.status_code == 200, link
            if link.startswith("/static/"):
                assert "immutable" in answer.headers["cache-control"]


async def test_the_bundle_is_sent_with_the_compression_of_its_build(client: httpx.AsyncClient) -> None:
    manifest = (await client.get("/static/manifest.json")).json()
    for name in ("playground.js", "playground.css"):
        link = f"/static/{manifest[name]}"
        packed = await client.get(link, headers={"Accept-Encoding": "gzip"})
        plain = await client.get(link, headers={"Accept-Encoding": "identity"})
        smaller = await client.head(link, headers={"Accept-Encoding": "gzip, br;q=1.0"})
        assert smaller.headers["content-encoding"] == "br"
        assert int(smaller.headers["content-length"]) < int(packed.headers["content-length"])
        assert packed.headers["content-encoding"] == "gzip"
        assert int(packed.headers["content-length"]) == (static_path() / f"{manifest[name]}.gz").stat().st_size
        assert packed.text == plain.text
        assert "content-encoding" not in plain.headers
        for header in ("content-type", "cache-control", "vary"):
            assert packed.headers[header] == plain.headers[header]
        same = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]}
        assert (await client.get(link, headers=same)).status_code == 304
    assert (await client.get("/static/none.js", headers={"Accept-Encoding": "gzip"})).status_code == 404


async def test_every_link_includes_the_path_of_the_proxy(serve: Serve) -> None:
    async with serve(root_path="/tape/deck/") as client:
        run = (await client.post("/api/v1/runs", json={"program": FIT})).json()
        assert run["links"]["self"] == f"/tape/deck/api/v1/runs/{run['id']}"
        for prefix in ("", "/tape/deck"):  # a proxy may remove its path or pass it on
            for path in ("/", f"/r/{run['id']}?step=1", "/examples", "/findings", "/docs"):
                page = unescape((await client.get(prefix + path, headers=HTML)).text)
                links = re.findall(r'(?:href|src|data-openapi)="(/[^"]*)', page)
                assert links
                assert all(link.startswith("/tape/deck/") for link in links), links
            assert (await client.get(f"{prefix}/static/manifest.json")).status_code == 200
        state = state_of(page) if 'id="state"' in page else state_of((await client.get("/", headers=HTML)).text)
        assert (state["root"], state["api"]) == ("/tape/deck", "/tape/deck/api/v1")
        missing = await client.get("/tape/deck/api/v1/runs/x")
        assert missing.json()["type"] == "/tape/deck/docs#not-found"
        assert (await client.get("/openapi.json")).json()["servers"] == [{"url": "/tape/deck"}]


@pytest.mark.parametrize("edit", [model.Edit((3, 8), (3, 22), "m -= m.grad"), model.Edit((3, 0), (3, 0), "")])
def test_a_fix_is_shown_without_scripts(edit: model.Edit) -> None:
    program = "with no_grad():\n    if True:\n        m = m - m.grad\n"
    finding = model.Finding(
        "leaf-rebound", "error", None, 3, None, None, "It is rebound.", "Why.", model.Fix("Use `-=`", [edit])
    )
    run = SimpleNamespace(findings=[finding], findings_omitted=[], omitted=None, program=program)
    shown = templates._environment().get_template("_findings.html").render(run=run, url=str)
    assert ("<del>−  m = m - m.grad\n</del><ins>+  m -= m.grad\n</ins>" in shown) is bool(edit.text)
    assert '<span class="fix-title">Use <code>-=</code></span>' in shown


async def test_every_rule_has_an_entry_on_the_page_of_findings(client: httpx.AsyncClient) -> None:
    page = (await client.get("/findings", headers=HTML)).text
    assert re.findall(r'<article class="rule" id="([^"]+)"', page) == list(RULES)
    assert set(re.findall(r'href="#([^"]+)"', page)) == {"main", *RULES}
    for rule in RULES.values():
        for program in rule.documentation.programs:
            assert escape(program.split("\n")[-2]) in re.sub(r"</?span[^>]*>", "", page)


async def test_each_finding_links_to_its_documentation(serve: Serve) -> None:
    lost = "element 0 of tensors does not require grad and does not have a grad_fn"
    events = [wire.EndEvent("failed", wire.ProgramFailure("RuntimeError", lost, None, 1, ""), 1.0)]
    async with serve(events, root_path="/tape") as client:
        run = (await client.post("/api/v1/runs", json={"program": "x.backward()"})).json()
        address = "/tape/findings#no-grad-path"
        assert [finding["help"] for finding in run["findings"]] == [address]
        assert (await client.get(run["links"]["self"])).json()["findings"] == run["findings"]
        assert f'"help":"{address}"' in (await client.get(run["links"]["events"])).text
        page = (await client.get(run["links"]["page"], headers=HTML)).text
        assert f'href="{address}"' in page
        assert state_of(page)["run"]["findings"][0]["help"] == address


async def test_a_missing_page_is_html_for_a_browser_and_json_for_a_program(client: httpx.AsyncClient) -> None:
    id = await start(client)
    for path in ("/nothing", "/r/nothing", f"/r/{id}?step=99", f"/r/{id}?node=n99"):
        page = await client.get(path, headers=HTML)
        assert page.status_code == 404
        assert page.headers["content-type"].startswith("text/html")
        assert "404" in page.text
    assert (await client.get("/r/nothing")).headers["content-type"] == "application/problem+json"
    api = await client.get("/api/v1/runs/nothing", headers=HTML)
    assert api.headers["content-type"] == "application/problem+json"


async def test_the_page_of_a_run_without_a_graph_explains_why(serve: Serve) -> None:
    failed = [
        wire.StartedEvent("2.13.0", "3.11"),
        wire.EndEvent("failed", wire.ProgramFailure("ValueError", "no", None, 3, "…"), 1.0),
    ]
    async with serve(failed) as client:
        page = unescape((await client.get(f"/r/{await start(client)}", headers=HTML)).text)
        assert "No graph. ValueError on line 3: no" in page


async def test_the_graph_of_a_displayed_tensor_is_shown_without_a_pass(serve: Serve) -> None:
    events = [event for event in fit() if not isinstance(event, wire.PassEvent | wire.StepEvent)]
    async with serve(events) as client:
        id = await start(client)
        page = (await client.get(f"/r/{id}", headers=HTML)).text
        assert "<svg" in page
        assert f"/api/v1/runs/{id}/graphs/g0/graph.svg" in page
        own = await client.get(f"/r/{id}?graph=g0&node=n2&direction=BT", headers=HTML)
        assert state_of(own.text)["node"] == "n2"
        assert (await client.get(f"/r/{id}?graph=g7", headers=HTML)).status_code == 404


async def test_a_listing_has_the_value_the_phase_and_the_cell_of_each_line() -> None:
    from tapedeck import model
    from tapedeck.recording import MemoryLog, Recording

    recording = Recording(MemoryLog(fit()), FIT)
    run = model.Run(
        id="x", status="done", kind="program", program=FIT, seed=0, capture="full", created="", expires=None, duration_ms=1.0,
        torch=None, cells=[model.Cell(0, 1, 4, None), model.Cell(1, 6, 13, None)], lines=recording.lines(),
        error=model.ProgramError("E", "m", None, 8, "t"),
    )  # fmt: skip
    lines = listing(Playhead(run, recording.step(0), "update"))
    assert [line.number for line in lines] == list(range(1, 14))
    assert lines[6].note == Note("4.6667", "tensor(4.6667)")
    assert lines[12].note is not None
    assert lines[12].note.text == "1.1780"
    assert (lines[6].phases, lines[9].phases, lines[0].phases) == (["loss"], ["update"], [])
    assert [line.number for line in lines if line.cell_ends] == [4, 13]
    assert [line.cell for line in lines] == [0] * 5 + [1] * 8
    assert [line.number for line in lines if line.error] == [8]
    earlier = listing(Playhead(run, recording.step(0), "backward"))
    assert [line.number for line in earlier if line.error] == []  # the error is shown at the end only


async def test_a_line_shows_its_value_at_the_playhead_and_none_of_later_steps(serve: Serve) -> None:
    async with serve(turns()) as client:
        id = await start(client, TURNS)

        async def shown(query: str) -> dict[int, tuple[str, str]]:
            page = unescape((await client.get(f"/r/{id}?{query}", headers=HTML)).text)
            found = re.findall(r'<li id="L(\d+)".*?</li>', page, re.DOTALL)
            lines = [re.search(rf'<li id="L{line}".*?</li>', page, re.DOTALL)[0] for line in found]  # type: ignore[index]
            outputs = [re.search(r"<output([^>]*)>(.*?)</output>", line) for line in lines]
            return {int(line): (each[2], each[1]) for line, each in zip(found, outputs, strict=True) if each}

        first = await shown("step=0&phase=backward")
        assert first[4][0] == "1.0000"
        assert (first[6][0], first[8][0]) == ("·", "·")
        later = await shown("step=2&phase=backward")
        assert later[1] == ("leaf", ' class="cm-value" title="leaf"')  # set once, before the loop
        assert later[4][0] == "3.0000"
        assert later[6] == ("2.0000", ' class="cm-value before" title="from step 1: 2.0"')
        assert later[3] == ("epoch = 0", ' class="cm-value before" title="from step 0: epoch = 0"')
        assert later[8][0] == "·"
        assert (await shown("step=3&phase=forward"))[8][0] == "·"
        assert (await shown("step=3&phase=backward"))[8][0] == "8 at the end"


async def test_an_error_is_shown_at_the_end_of_the_recording_and_linked_from_before(serve: Serve) -> None:
    failure = wire.ProgramFailure("RuntimeError", "of `a` alone", None, 8, "Traceback")
    events = [*(event for event in turns() if not isinstance(event, wire.EndEvent)), wire.EndEvent("failed", failure, 1.0)]
    async with serve(events) as client:
        id = await start(client, TURNS)
        before = unescape((await client.get(f"/r/{id}?step=0&phase=backward", headers=HTML)).text)
        assert 'class="failed"' not in before
        assert 'class="failed"' in (await client.get(f"/r/{id}", headers=HTML)).text  # a bare address opens at the error
        assert re.search(r'rel="prev" href="[^"]*step=2', (await client.get(f"/r/{id}?step=3", headers=HTML)).text)
        assert re.search(r'rel="prev" href="[^"]*step=0', (await client.get(f"/r/{id}?step=1", headers=HTML)).text)
        link = re.search(r'<a class="to bad" href="([^"]*)"[^>]*>RuntimeError on line\s8</a>', before)
        assert link
        end = (await client.get(link[1], headers=HTML)).text
        assert '<li id="L8" class="failed">' in end
        assert "of <code>a</code> alone" in end
        assert "to bad" not in end


async def test_a_page_leaves_out_the_structure_of_a_graph_whose_nodes_are_not_drawn(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playground, "BOXES", 4)
    async with serve() as client:
        id = await start(client)
        page = (await client.get(f"/r/{id}?node=n2", headers=HTML)).text
        graph = state_of(page)["graph"]
        assert [node["id"] for node in graph["nodes"]] == ["n1", "n2", "n3"]
        assert [edge["id"] for edge in graph["edges"]] == ["e1", "e2"]
        assert graph["omitted"] == {"nodes": 2, "edges": 2}
        assert '<span id="summary">5 nodes</span>' in page
        assert state_of((await client.get(f"/r/{id}", headers=HTML)).text)["node"] == "n0"
        assert (await client.get(f"/r/{id}?node=n5", headers=HTML)).status_code == 404
        detail = (await client.get(f"/api/v1/runs/{id}/passes/0/nodes/n2")).json()
        assert "n2" in page
        assert detail["source"] in unescape(page)


async def test_a_page_lists_the_first_lines_of_a_long_program(serve: Serve) -> None:
    async with serve() as client:
        id = await start(client, "import torch\n" + "x = 1\n" * (LISTED_LINES + 4))
        page = (await client.get(f"/r/{id}", headers=HTML)).text
        assert page.count("<li id=") == LISTED_LINES
        assert f'5 more lines: <a href="/api/v1/runs/{id}">' in page


async def test_the_page_of_a_stored_run_is_made_outside_of_the_event_loop(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    threads: dict[str, str] = {}
    for module, name in ((playground, "listing"), (pages, "script_json")):
        made = getattr(module, name)

        def watched(*given: Any, name: str = name, made: Any = made) -> Any:
            threads[name] = threading.current_thread().name
            return made(*given)

        monkeypatch.setattr(module, name, watched)
    async with serve(folder=tmp_path) as client:
        id = await start(client)
    async with serve(folder=tmp_path) as client:
        assert (await client.get(f"/r/{id}", headers=HTML)).status_code == 200
    assert {name: thread.startswith("store-read") for name, thread in threads.items()} == {"listing": True, "script_json": True}


async def test_a_page_reports_that_findings_may_be_missing(serve: Serve) -> None:
    async with serve(finder=InlineFinder([], ["nan-origin", "dead-relu", "vanishing", "leaf-kept"])) as client:
        run = (await client.post("/api/v1/runs", json={"program": FIT})).json()
        assert run["findings_omitted"] == ["nan-origin", "dead-relu", "vanishing", "leaf-kept"]
        text = (await client.get(f"/r/{run['id']}")).text
    assert "Further findings may be missing:" in text
    assert 'href="/findings#nan-origin"' in text
    assert "and 1 more" in text
