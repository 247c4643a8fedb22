"""Modules import only from the layers below them, in Python and in JavaScript."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
APP = ROOT / "app"
SOURCES = ROOT / "static" / "src"
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "assets": set(),
    "byte_cache": set(),
    "changes": set(),
    "errors": set(),
    "examples": set(),
    "formulas": set(),
    "model": set(),
    "native": set(),
    "settings": {"model"},
    "wire": {"errors", "model"},
    "recording": {"byte_cache", "errors", "formulas", "model", "wire"},
    "tracer": {"errors", "model", "native", "wire"},
    "testing": {"tracer"},
    "sandbox": {"errors", "model", "wire"},
    "workers": {"errors"},
    "inputs": {"errors", "model", "wire"},
    "map": {"errors", "model", "recording", "wire"},
    "explain": {"model", "recording", "wire"},
    "why": {"errors", "explain", "formulas", "model", "recording", "wire"},
    "drawing": {"byte_cache", "errors", "map", "model", "recording", "workers"},
    "store": {"byte_cache", "errors", "model", "recording", "wire"},
    "executor": {"errors", "model", "sandbox", "settings", "wire"},
    "runs": {"changes", "errors", "executor", "inputs", "model", "recording", "settings", "store", "wire"},
    "replays": {"byte_cache", "changes", "errors", "executor", "model", "recording", "runs", "wire"},
    "lessons": {"errors", "inputs", "model", "recording", "replays", "runs"},
    "finder": {"byte_cache", "errors", "explain", "model", "recording", "runs", "store", "wire", "workers"},
    "web": {
        "assets", "byte_cache", "changes", "drawing", "errors", "examples", "executor", "explain", "inputs", "lessons", "map",
        "model", "recording", "replays", "runs", "settings", "why", "wire", "workers",
    },
    "main": {
        "assets", "drawing", "executor", "finder", "lessons", "replays", "runs", "settings", "store", "web", "workers",
    },
    "cli": {
        "assets", "drawing", "errors", "executor", "explain", "finder", "inputs", "lessons", "main", "model", "native",
        "recording", "replays", "runs", "settings", "store", "web", "why", "wire",
    },
    "__main__": {"cli"},
}  # fmt: skip
"""The packages and modules that each package or module of the app imports, from the bottom up."""

WEB_MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "columns": set(),
    "example_runs": set(),
    "links": set(),
    "pictures": set(),
    "protection": set(),
    "readiness": set(),
    "request_parts": set(),
    "stopping": set(),
    "responses": {"links"},
    "streams": {"responses"},
    "service": {"example_runs", "pictures", "protection", "readiness", "responses", "streams"},
    "api": {
        "columns", "links", "pictures", "protection", "readiness", "request_parts", "responses", "service", "streams",
    },
    "pages": {"api", "links", "pictures", "protection", "request_parts", "responses", "service"},
    "lessons": {"api", "example_runs", "links", "pages", "pictures", "protection", "request_parts", "responses", "service"},
    "sharing": {"api", "columns", "links", "pages", "pictures", "protection", "responses", "service"},
}  # fmt: skip
"""The packages and modules of ``web`` that each package or module of ``web`` imports, from the bottom up."""

EXPLAIN_MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "documentation": set(),
    "wording": set(),
    "program": {"wording"},
    "recorded": {"program"},
    "rewriting": {"program"},
    "rule": {"documentation", "program", "recorded"},
    "rules": {"program", "recorded", "rewriting", "rule", "wording"},
    "registry": {"documentation", "rule", "rules"},
    "findings": {"program", "recorded", "registry", "rule", "rules"},
}
"""The packages and modules of ``explain`` that each package or module of ``explain`` imports, from the bottom up."""

LESSONS_MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "document": set(),
    "problems": set(),
    "typography": set(),
    "cells": {"document"},
    "reading": {"document", "problems", "typography"},
    "library": {"document", "problems", "reading"},
    "values": {"cells", "document"},
    "running": {"cells", "document", "values"},
    "answers": {"cells", "document", "running", "values"},
    "shelf": {"answers", "cells", "document", "running"},
    "checking": {"answers", "cells", "document", "problems", "running", "values"},
}
"""The packages and modules of ``lessons`` that each package or module of ``lessons`` imports, from the bottom up."""

PYTHON = sorted(path for path in APP.rglob("*.py") if path.parent.name != "programs")  # not the gallery
SCRIPTS = sorted(SOURCES.rglob("*.js"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Return all nodes of a module's syntax tree, which is parsed once for all tests."""
    return list(ast.walk(ast.parse(path.read_text())))


def layer_of(path: Path, folder: Path = APP) -> str:
    return path.relative_to(folder).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (``path:line``, dotted name) of each import, relative ones resolved to ``tapedeck.…``."""
    package = ["tapedeck", *path.relative_to(APP).parent.parts]
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((f"{name_of(path)}:{node.lineno}", alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            yield from ((f"{name_of(path)}:{node.lineno}", ".".join([*base, alias.name])) for alias in node.names)


LISTS = [
    (APP, MAY_IMPORT),
    (APP / "explain", EXPLAIN_MAY_IMPORT),
    (APP / "lessons", LESSONS_MAY_IMPORT),
    (APP / "web", WEB_MAY_IMPORT),
]
each_list = pytest.mark.parametrize(("folder", "may_import"), LISTS, ids=["app", "explain", "lessons", "web"])


@each_list
def test_every_module_is_in_a_layer(folder: Path, may_import: dict[str, set[str]]) -> None:
    assert {layer_of(path, folder) for path in PYTHON if path.is_relative_to(folder)} == set(may_import), "update the list"


@each_list
def test_a_module_imports_only_what_its_layer_may(folder: Path, may_import: dict[str, set[str]]) -> None:
    prefix = ".".join(["tapedeck", *folder.relative_to(APP).parts, ""])
    wrong = [
        f"{place} imports {other}"
        for path in PYTHON
        if path.is_relative_to(folder)
        for place, name in imports(path)
        if name.startswith(prefix) and (other := name.removeprefix(prefix).split(".")[0]) in may_import
        if other not in may_import[layer_of(path, folder)] | {layer_of(path, folder)}
    ]
    assert not wrong


def test_a_module_names_its_own_package_only_relatively() -> None:
    absolute = [
        f"{name_of(path)}:{node.lineno}"
        for path in PYTHON
        for node in nodes(path)
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level)
        for alias in node.names
        if (alias.name if isinstance(node, ast.Import) else str(node.module)).split(".")[0] in {"app", "tapedeck"}
    ]
    assert not absolute


@each_list
def test_packages_import_each_other_without_a_cycle(folder: Path, may_import: dict[str, set[str]]) -> None:
    assert len(list(TopologicalSorter(may_import).static_order())) == len(may_import)  # raises CycleError for a cycle


def test_no_two_classes_of_the_app_share_a_name() -> None:
    homes: dict[str, list[str]] = {}
    for path in PYTHON:
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name.lstrip("_"), []).append(name_of(path))
    assert not {name: found for name, found in homes.items() if len(found) > 1}


TRACER_ORDER = (
    "__init__",
    "tensors",
    "emitter",
    "source",
    "environment",
    "forward",
    "training",
    "backward",
    "replay",
    "testing",
    "statement_recorder",
    "recorder",
    "program",
    "main",
    "__main__",
)
"""The packages and modules of the tracer, from the bottom up. Each imports only from itself and from earlier ones."""
TRACER = [path for path in PYTHON if path.is_relative_to(APP / "tracer")]


def test_a_package_of_the_tracer_imports_only_from_packages_below_it() -> None:
    wrong = []
    for path in TRACER:
        part = path.relative_to(APP / "tracer").parts[0].removesuffix(".py")
        assert part in TRACER_ORDER, f"add {part} to TRACER_ORDER"
        above = TRACER_ORDER[TRACER_ORDER.index(part) + 1 :]
        imported = [(place, name.split(".")[2]) for place, name in imports(path) if name.startswith("tapedeck.tracer.")]
        wrong += [f"{place} imports {other}" for place, other in imported if other in above]
    assert not wrong


@pytest.mark.parametrize("folder", ["explain", "lessons", "tracer", "web"])
def test_the_modules_of_a_package_import_each_other_without_a_cycle(folder: str) -> None:
    paths = [path for path in PYTHON if path.is_relative_to(APP / folder)]
    modules = {".".join(["tapedeck", *path.relative_to(APP).with_suffix("").parts]): path for path in paths}
    graph = {
        module: {name if name in modules else name.rpartition(".")[0] for _, name in imports(path)} & modules.keys() - {module}
        for module, path in modules.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(modules)  # raises CycleError for a cycle


def test_only_the_tracer_imports_torch() -> None:
    others = [path for path in PYTHON if layer_of(path) != "tracer"]
    assert not [place for path in others for place, name in imports(path) if name.split(".")[0] == "torch"]


def test_the_server_is_importable_without_torch() -> None:
    program = "import sys, tapedeck.main, tapedeck.cli.commands; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_step_boundaries_are_decided_without_torch() -> None:
    program = "import sys, tapedeck.tracer.training.boundaries; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_callback_is_set_on_a_finished_object() -> None:
    wrong = [
        f"{name_of(path)}:{target.lineno} sets {ast.unparse(target)}"
        for path in PYTHON
        for node in nodes(path)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Attribute) and re.match(r"(on|before|after)_", target.attr)
        if not (isinstance(target.value, ast.Name) and target.value.id == "self")
    ]
    assert not wrong


def test_every_package_of_the_app_has_an_init_so_that_wheels_contain_it() -> None:
    folders = {path.parent for path in PYTHON}
    assert not [name_of(folder) for folder in folders if not (folder / "__init__.py").is_file()]


def script_imports(path: Path) -> list[Path]:
    """Return the project's files that a script imports. Imports of types in comments do not count."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
    pattern = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*["'](\.[^"']+)["']""")
    return [(path.parent / name).resolve() for name in pattern.findall(code)]


LAYERS = ("leaves", "core", "widgets", "page")


def test_every_script_is_in_a_layer() -> None:
    assert not [name_of(path) for path in SCRIPTS if path.relative_to(SOURCES).parts[0] not in LAYERS]


def test_a_script_imports_only_from_the_layers_below_it_and_a_leaf_nothing() -> None:
    wrong = []
    for path in SCRIPTS:
        layer = path.relative_to(SOURCES).parts[0]
        if layer == "leaves":
            wrong += [f"{name_of(path)}: {line}" for line in re.findall(r"^import\b.*", path.read_text(), re.MULTILINE)]
        for other in script_imports(path):
            theirs = other.relative_to(SOURCES).parts[0]
            folder = other.parent  # a folder beside a widget contains the parts of that widget
            inside_one_widget = layer == theirs == "widgets" != folder.name and folder in (path.parent, path.with_suffix(""))
            below = LAYERS.index(theirs) < LAYERS.index(layer)
            beside = layer == theirs and layer in ("core", "page")
            if not (below or beside or inside_one_widget):
                wrong.append(f"{name_of(path)} imports {name_of(other)}")
    assert not wrong
