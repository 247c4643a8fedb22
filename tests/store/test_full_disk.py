"""On a full disk, runs can be read and deleted, and are refused with a remedy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tapedeck.store.reserve import RESERVE_BYTES, DiskReserve

ROOT = Path(__file__).parent.parent.parent

FILL = """\
import os, secrets, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from sqlalchemy.exc import OperationalError
from tapedeck import wire
from tapedeck.errors import StoreFull
from tapedeck.store import Store
from tests.handmade_events import fit
from tests.store.test_store import DONE, RUNNING, new

folder = Path(sys.argv[1])
store = Store(folder)
noise = lambda: [wire.OutputEvent(secrets.token_hex(50_000)) for _ in range(5)]
for index in range(10):
    store.write(new(f"{index:032}"), [*fit(), *noise()], 0, DONE)
store.write(new("r" * 32), fit()[:5], 0, RUNNING)
try:
    with open(folder / "ballast", "wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)) == 4096:
            pass
except OSError:
    pass
refused = 0
try:
    for index in range(10, 100):
        store.write(new(f"{index:032}"), noise(), 0, DONE)
except StoreFull as error:
    refused, message = index, str(error)
assert refused, "the disk never became full"
assert "delete" in message, message
left = [id for id in range(refused) if store.get(f"{id:032}")]
assert left == list(range(refused))
run = store.get(f"{3:032}")
assert store.log(run).step(1).index == 1
assert not store.keep_replay(f"{3:032}", "replay", secrets.token_bytes(2_000_000))
assert store.delete(f"{3:032}")
assert store.get(f"{3:032}") is None
assert store.interrupt() == 1
assert store.get("r" * 32).status == "interrupted"
store.close()
store = Store(folder)
assert store.delete(f"{4:032}")
for index in left[5:]:
    assert store.delete(f"{index:032}")
store.write(new("f" * 32), noise(), 0, DONE)
assert store.get("f" * 32).status == "done"
store.close()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a small disk")
def test_a_full_disk_refuses_runs_but_not_reads_and_deletes(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=24m none "$0" && exec "$@"', str(disk)]
    try:
        able = subprocess.run([*mount, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        able = False
    if not able:
        pytest.skip("mounting a disk is not permitted")
    command = [*mount, sys.executable, "-c", FILL, str(disk), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_reserve_is_released_while_it_is_needed(tmp_path: Path) -> None:
    reserve = DiskReserve(tmp_path)
    file = tmp_path / "reserve"
    assert file.stat().st_blocks * 512 >= RESERVE_BYTES
    with reserve.released():
        assert not file.exists()
    assert file.stat().st_size == RESERVE_BYTES
