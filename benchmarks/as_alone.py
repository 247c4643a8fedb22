"""Compare programs under Tapedeck with the same programs alone: both streams, exit status, final tensors and time.

``as_alone.py FILES…`` runs each file twice with ``python FILE`` and once with ``tapedeck run FILE``. It reports differences,
and Tapedeck's errors and warnings. With ``--sandbox`` the file runs confined; then the final tensors are not compared, because
a confined program can't write them. Each run has a new folder with links to the files next to the program, so that files it
writes stay apart. Some programs differ even between two runs without Tapedeck, because they are not seeded
or print times. They are reported as not repeatable, and only their exit status is compared. The exit status of this command is
1 if any program differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

DIGESTS: Final = "AS_ALONE_DIGESTS"
"""The environment variable that names the file for the digests of a program's final tensors."""

# Python imports sitecustomize at its start, so the program itself stays unchanged.
SITE_CUSTOMIZE: Final = f'''
import atexit, os, sys

def write():
    import hashlib, json
    torch = sys.modules.get("torch")
    if torch is None:
        return
    def digest(value):
        data = value.detach().to_dense().cpu().contiguous()
        return hashlib.sha256(bytes(data.reshape(-1).view(torch.uint8).tolist())).hexdigest()[:16] if data.numel() else "empty"
    found = {{}}
    for name, value in sorted(vars(sys.modules["__main__"]).items()):
        try:
            if isinstance(value, torch.Tensor):
                found[name] = digest(value)
            elif isinstance(value, torch.nn.Module):
                for key, tensor in value.state_dict().items():
                    found[f"{{name}}.{{key}}"] = digest(tensor)
        except Exception as error:
            found[name] = type(error).__name__
    with open(os.environ["{DIGESTS}"], "w") as file:
        json.dump(found, file)

if "{DIGESTS}" in os.environ:
    atexit.register(write)
'''


@dataclass
class Outcome:
    """The observable behaviour of one execution.

    ``stderr`` includes the traceback that ended the program. ``tensors`` has a digest for each global tensor, by name.
    ``findings`` are the errors and warnings of Tapedeck, one sentence each.
    """

    stdout: str
    stderr: str
    status: int | None
    seconds: float
    tensors: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def differences(self, other: Outcome, *, tensors: bool = True) -> list[str]:
        """Return the names of the parts in which two executions differ."""
        parts = ["stdout", "stderr", "status", *(["tensors"] if tensors else [])]
        return [part for part in parts if getattr(self, part) != getattr(other, part)]


@contextlib.contextmanager
def linked(file: Path, folder: Path) -> Iterator[Path]:
    """Yield a folder with links to everything in the file's folder. It has the same path for each run of the file."""
    made = folder / f"{hash(file):x}"
    made.mkdir()
    try:
        for each in file.parent.iterdir():
            (made / each.name).symlink_to(each)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def run(command: list[str], file: Path, folder: Path, seconds: float) -> Outcome:
    """Run a command in a folder of links, with :data:`SITE_CUSTOMIZE` on the path, and return its outcome."""
    digests = folder / f"{os.urandom(8).hex()}.json"
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "0", DIGESTS: str(digests)}
    began = time.monotonic()
    try:
        with linked(file, folder) as working:
            done = subprocess.run(
                command,
                cwd=working,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                check=False,
            )
        stdout, stderr, status = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as expired:
        stdout, stderr, status = expired.stdout or b"", expired.stderr or b"", None
    took = time.monotonic() - began
    tensors = json.loads(digests.read_text()) if digests.exists() else {}
    return Outcome(stdout.decode(errors="replace"), stderr.decode(errors="replace"), status, took, tensors)


def recorded(file: Path, folder: Path, seconds: float, *, sandbox: bool) -> Outcome:
    """Run a file with ``tapedeck run --json`` and return the program's own outcome."""
    command = [str(Path(sys.executable).with_name("tapedeck")), "run", "--json", *(["--sandbox"] if sandbox else []), file.name]
    outcome = run(command, file, folder, seconds)
    try:
        made = json.loads(outcome.stdout)
    except json.JSONDecodeError:
        return outcome
    error = made["error"] or {"type": "SystemExit"}
    traceback = "" if error["type"] == "SystemExit" else error["traceback"]  # Python prints no traceback for it
    found = [
        f"{each['severity']} {each['code']}, line {each['line']}: {each['message']}"
        for each in made["findings"]
        if each["severity"] in ("error", "warning")
    ]
    stderr = made["stderr"] + traceback
    return Outcome(made["stdout"], stderr, outcome.status, outcome.seconds, outcome.tensors, found)


def compare(file: Path, folder: Path, seconds: float, *, sandbox: bool) -> tuple[str, str]:
    """Return ``same``, ``not repeatable``, ``does not end alone`` or ``differs``, and the details."""
    plain = [sys.executable, file.name]
    first, second = run(plain, file, folder, seconds), run(plain, file, folder, seconds)
    if first.status is None:
        return "does not end alone", f"within {seconds:.0f} s"
    ours = recorded(file, folder, 10 * seconds, sandbox=sandbox)
    ratio = f"{ours.seconds / first.seconds:.1f} times as long" + "".join(f"\n  {finding}" for finding in ours.findings)
    if first.differences(second):
        same_end = (first.status == 0) == (ours.status == 0)
        return ("not repeatable", ratio) if same_end else ("differs", f"exit status {first.status} and {ours.status}")
    first, ours = (without_addresses(outcome) for outcome in (first, ours))
    found = first.differences(ours, tensors=not sandbox)
    if not found:
        return "same", ratio
    return "differs", "\n".join(f"  {part}: {shown(first, part)}\n  {' ' * len(part)}→ {shown(ours, part)}" for part in found)


def without_addresses(outcome: Outcome) -> Outcome:
    """Return the outcome with addresses in memory masked, which differ in every process."""
    mask = re.compile(r"\b0x[0-9a-f]{6,}\b")
    return replace(outcome, stdout=mask.sub("0x…", outcome.stdout), stderr=mask.sub("0x…", outcome.stderr))


def shown(outcome: Outcome, part: str) -> str:
    """Return one part of an outcome, shortened."""
    text = str(getattr(outcome, part))
    return repr(text if len(text) <= 400 else f"{text[:150]}…{text[-250:]}")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="programs; without any, those of tests/programs")
    parser.add_argument("--sandbox", action="store_true", help="record the programs in the sandbox")
    parser.add_argument(
        "--seconds", type=float, default=60, help="time limit of a program alone; recorded it may take ten times as long"
    )
    parser.add_argument("--jobs", type=int, default=1, help="programs to compare at the same time")
    given = parser.parse_args()
    files = given.files or sorted((Path(__file__).parent.parent / "tests" / "programs").glob("*.py"))
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(given.jobs) as threads:
        folder = Path(name)
        (folder / "sitecustomize.py").write_text(SITE_CUSTOMIZE)
        results = threads.map(lambda file: compare(file.resolve(), folder, given.seconds, sandbox=given.sandbox), files)
        for file, (verdict, details) in zip(files, results, strict=True):
            counts[verdict] = counts.get(verdict, 0) + 1
            print(f"{verdict:<24}{file.name}{chr(10) if verdict == 'differs' else '  '}{details}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    sys.exit(1 if counts.get("differs") else 0)


if __name__ == "__main__":
    main()
