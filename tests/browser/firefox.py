"""Drive Firefox by its own protocol, Marionette: https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any, Final

PROGRAM: Final = shutil.which("firefox") or shutil.which("firefox-esr")
SECONDS: Final = 60
"""Seconds for which :class:`Firefox` waits, for its start too."""
NO_NETWORK: Final = """
user_pref("marionette.port", 0);
user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 9);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
"""
"""Preferences with which every request goes to a proxy that does not exist."""


class Firefox:
    """A window of Firefox without a network."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._ids = count(1)
        self._read()  # the greeting
        self._command("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {}}})

    def open(self, url: str) -> None:
        """Open a page, and wait until it is loaded."""
        self._command("WebDriver:Navigate", {"url": url})

    def run(self, script: str) -> Any:
        """Return the result of a function's body in the page."""
        return self._command("WebDriver:ExecuteScript", {"script": script, "args": []})["value"]

    def wait(self, script: str) -> Any:
        """Run a function's body until its result is true, and return the result."""
        deadline = monotonic() + SECONDS
        while not (result := self.run(script)):
            assert monotonic() < deadline, script
            sleep(0.1)
        return result

    def _command(self, name: str, parameters: dict[str, Any]) -> Any:
        message = json.dumps([0, next(self._ids), name, parameters]).encode()
        self._stream.write(b"%d:%b" % (len(message), message))
        self._stream.flush()
        _, _, error, result = self._read()
        assert error is None, error
        return result

    def _read(self) -> Any:
        digits = b""
        while (byte := self._stream.read(1)) != b":":
            assert byte, "Firefox ended"
            digits += byte
        return json.loads(self._stream.read(int(digits)))


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """Start Firefox with a new profile in ``folder``, and stop it at the end."""
    assert PROGRAM is not None
    profile = folder / "profile"
    profile.mkdir()
    (profile / "user.js").write_text(NO_NETWORK)
    process = subprocess.Popen(
        [PROGRAM, "--headless", "--no-remote", "--marionette", "--profile", str(profile)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = monotonic() + SECONDS
        port = profile / "MarionetteActivePort"
        while not (port.exists() and port.read_text().strip()):
            assert process.poll() is None, "Firefox did not start"
            assert monotonic() < deadline, "Firefox did not start in time"
            sleep(0.1)
        address = ("127.0.0.1", int(port.read_text()))
        with socket.create_connection(address, timeout=SECONDS) as connection, connection.makefile("rwb") as stream:
            yield Firefox(stream)
    finally:
        process.terminate()
        process.wait()
