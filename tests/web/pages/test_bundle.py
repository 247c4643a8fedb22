"""Test that a page whose scripts are not bundled says in one sentence how to bundle them."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from tapedeck import assets

from .test_pages import HTML

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["/docs", "/nowhere", "/r/" + "0" * 32])
@pytest.mark.parametrize(
    "manifest", [None, "", json.dumps({"first-paint.js": "first-paint-1.js"})], ids=["missing", "half written", "old"]
)
async def test_a_page_without_its_bundle_says_how_to_make_it(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str, manifest: str | None
) -> None:
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    monkeypatch.setattr(assets, "static_path", lambda: tmp_path)
    answer = await client.get(path, headers=HTML)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("The bundled front end is missing or out of date: it has no ")
    assert answer.text.endswith(". Run `python static/bundle.py`.")


async def test_the_api_answers_without_a_bundle(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(assets, "static_path", lambda: tmp_path)
    assert (await client.get("/api/v1/limits")).status_code == 200
