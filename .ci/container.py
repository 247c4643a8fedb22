"""Start the command of an image inside a lock, and check that it serves.

    python3 .ci/container.py IMAGE.json LOCK...

IMAGE.json is the output of `buildah inspect` for the image; LOCK is a command that confines another command. This program
runs as root in its own network namespace. It brings up the loopback interface and starts the server. Once the server is ready,
it posts a program, runs the health check of the image, and stops the server.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request

ADDRESS = "http://127.0.0.1:8000"
STARTS_WITHIN = 90.0  # seconds
PROGRAM = "import torch\nm = torch.tensor(1., requires_grad=True)\nloss = (3 * m) ** 2\nloss.backward()\nm.grad\n"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def main() -> None:
    with open(sys.argv[1]) as file:
        config = json.load(file)["Docker"]["config"]
    lock = [*sys.argv[2:], "/usr/bin/env", "-i", *config["Env"]]
    raise_loopback()
    server = subprocess.Popen([*lock, *config["Cmd"]], stdin=subprocess.DEVNULL)
    try:
        wait_until_ready(server)
        assert fetch("/healthz")[0] == 200
        status, body = fetch("/api/v1/runs", PROGRAM.encode(), {"Content-Type": "text/x-python"})
        run = json.loads(body)
        assert (status, run["status"]) == (201, "done"), (status, body[:2000])
        health = subprocess.run([*lock, *config["Healthcheck"]["Test"][1:]], check=False)
        assert health.returncode == 0, "the health check of the image fails"
        answer = run["lines"][-1]["text"]
        print(f"docker-check: served a run ({answer}), read-only, as uid {uid_of(server.pid)}, without capabilities")
    finally:
        server.terminate()
        server.wait(20)
    assert server.returncode in (0, -15, 143), f"the server ended with {server.returncode}"


def raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH22x", b"lo", 0)
        (flags,) = struct.unpack("16xH22x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | IFF_UP))


def wait_until_ready(server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"docker-check: the server ended with {server.returncode} before it was ready")
        try:
            if fetch("/readyz")[0] == 200:
                return
        except (ConnectionError, urllib.error.URLError, TimeoutError):
            pass
        time.sleep(0.2)
    sys.exit("docker-check: the server did not become ready")


def fetch(path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(ADDRESS + path, body, headers or {}), timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def uid_of(process: int) -> int:
    with open(f"/proc/{process}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0, "the server has capabilities"
    assert int(fields["NoNewPrivs"]) == 1, "the server can gain privileges"
    return int(fields["Uid"].split()[0])


if __name__ == "__main__":
    main()
