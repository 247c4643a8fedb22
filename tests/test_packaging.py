"""The pinned releases, the wheel and the bundled front end are complete."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import msgspec
import pytest
import tapedeck
from tapedeck.assets import static_path, templates_path

from .native.compiled import COMPILER

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]


def normal(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_the_constraints_pin_each_package_to_a_public_release() -> None:
    assert [pin for pin in PINS if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", pin)] == []


def test_the_constraints_pin_every_dependency_of_the_project() -> None:
    required = [*PROJECT["dependencies"], *(each for extra in PROJECT["optional-dependencies"].values() for each in extra)]
    assert {normal(each) for each in required} - {normal(pin) for pin in PINS} == set()


def test_the_requirement_of_torch_begins_with_the_tested_range_and_the_pin_is_inside_it() -> None:
    oldest, newest = tapedeck.TESTED_TORCH
    (requirement,) = [each for each in PROJECT["dependencies"] if normal(each) == "torch"]
    (pin,) = [each for each in PINS if normal(each) == "torch"]
    assert requirement.startswith(f"torch>={oldest},")
    pinned = pin.removeprefix("torch==").split(".")[:2]
    assert list(map(int, oldest.split("."))) <= list(map(int, pinned)) <= list(map(int, newest.split(".")))


def test_the_bundle_has_every_page_and_image_under_a_name_with_a_hash() -> None:
    manifest = json.loads((static_path() / "manifest.json").read_text())
    sources = ROOT / "static" / "src"
    entries = [*(sources / "page").iterdir(), *(sources / "page" / "single").iterdir()]
    pages = {path.name for path in entries if path.suffix in (".js", ".css")}
    comments = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
    scripts = (comments.sub("", path.read_text()) for path in sources.rglob("*.js"))
    own = {Path(name).name for text in scripts for name in re.findall(r"""\bimport\("(\.[^"]+)"\)""", text)}
    later = own | {"uPlot.esm.js", "d3-contour.mjs"}  # loaded when they are first needed, as by a chart or a dialog
    assert set(manifest) == pages | later | {path.name for path in (sources / "images").iterdir()}
    for entry, file in manifest.items():
        stem, suffix = entry.rsplit(".", 1)
        stem = "part" if entry in later else stem
        assert re.fullmatch(rf"{stem}-[A-Z0-9]{{8}}\.{suffix.replace('mjs', 'js')}", file)
        assert (static_path() / file).is_file()


def test_the_playground_s_script_is_within_its_budget() -> None:
    manifest = json.loads((static_path() / "manifest.json").read_text())
    script = (static_path() / manifest["playground.js"]).read_bytes()
    assert len(gzip.compress(script)) < 180_000, "import modules lazily that the first paint does not need"


def test_styles_only_refer_to_files_of_the_bundle() -> None:
    for style in static_path().glob("*.css"):
        addresses = re.findall(r"url\(\s*[\"']?([^\"')]+)", style.read_text())
        assert [address for address in addresses if not (static_path() / address).is_file()] == []


def test_bundling_again_without_changes_does_nothing() -> None:
    bundle = [sys.executable, str(ROOT / "static" / "bundle.py")]
    subprocess.run(bundle, check=True)
    stamp = static_path() / "stamp"
    before = stamp.stat().st_mtime_ns
    subprocess.run(bundle, check=True)
    assert stamp.stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_wheel_contains_the_code_the_templates_and_the_bundle(tmp_path: Path) -> None:
    """A wheel for this machine also has the library in C; without a compiler, a wheel serves every machine."""
    source = tmp_path / "source"
    left = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so")
    for folder in ("app", "templates", "static"):
        shutil.copytree(ROOT / folder, source / folder, ignore=left)
    for file in ("pyproject.toml", "package.json", "package-lock.json", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)

    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    library = "tapedeck/native/_statistics.so"
    (source / "app" / "native" / "_statistics.so").write_text("of another build")

    def build(compiler: str) -> tuple[str, set[str]]:
        folder, variables = (
            tmp_path / compiler,
            {**os.environ, "CC": str(tmp_path / "no compiler")} if compiler == "none" else None,
        )
        subprocess.run([*pip, "--wheel-dir", str(folder), str(source)], check=True, stderr=subprocess.PIPE, env=variables)
        (wheel,) = folder.glob("*.whl")
        return wheel.name.removeprefix(f"tapedeck-{tapedeck.__version__}-"), set(zipfile.ZipFile(wheel).namelist())

    name, packed = build("none")
    assert (name, library in packed) == ("py3-none-any.whl", False)
    if COMPILER:
        name, packed = build("cc")
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        assert (name, library in packed) == (f"py3-none-{platform}.whl", True)
    for folder, prefix in ((source / "app", ""), (templates_path(), "templates/"), (static_path(), "static/")):
        files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        files -= {Path("README.md"), Path("native/_statistics.so")}
        assert {f"tapedeck/{prefix}{file.as_posix()}" for file in files} - packed == set()
    assert "tapedeck/README.md" not in packed


def test_the_action_and_the_hook_run_the_check_on_every_file(tmp_path: Path) -> None:
    action = msgspec.yaml.decode((ROOT / "action.yml").read_bytes())
    (hook,) = msgspec.yaml.decode((ROOT / ".pre-commit-hooks.yaml").read_bytes())
    command = tmp_path / "tapedeck"
    command.write_text('#!/bin/sh\necho "$@"\ncase "$*" in *wrong.py) exit 1;; esac\n')
    command.chmod(0o755)
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "FILES": "a.py wrong.py b.py", "IGNORE": "x y", "BASELINE": "old.json"}
    assert set(action["inputs"]) >= {"files", "ignore", "baseline"}
    ran = subprocess.run(["bash", "-c", action["runs"]["steps"][-1]["run"]], env=variables, capture_output=True, text=True)
    options = "check --format github --ignore x --ignore y --baseline old.json"
    assert (ran.returncode, ran.stdout) == (1, f"{options} a.py\n{options} wrong.py\n{options} b.py\n")
    ran = subprocess.run(f"{hook['entry']} a.py b.py", shell=True, env=variables, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "check a.py\ncheck b.py\n")
