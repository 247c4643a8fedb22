"""Take the README's pictures. Run ``python static/picture/take.py`` with Chromium and Playwright installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright
from tapedeck.examples import FIRST_VISIT, example

HERE = Path(__file__).parent
THEMES = ("light", "dark")


def graphs() -> None:
    """Draw the graph of the first visit's program."""
    first = example(FIRST_VISIT)
    assert first is not None
    for theme in THEMES:
        line = [sys.executable, "-m", "tapedeck", "render", "-", "--theme", theme, "--direction", "LR"]
        subprocess.run([*line, "-o", str(HERE / f"graph-{theme}.svg")], input=first.program, text=True, check=True)


def pages() -> None:
    """Take screenshots of the playground as a first visit shows it."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    switches = ["--disable-background-networking", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        line = [sys.executable, "-m", "tapedeck", "serve", "--port", "0", "--data", folder]
        server = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            found = re.search(r"http://\S+", server.stdout.readline())
            assert found is not None
            browser = playwright.chromium.launch(executable_path=path, args=switches)
            for theme in THEMES:
                page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=theme)
                while page.goto(f"{found[0]}readyz").status != 200:
                    time.sleep(0.5)
                page.goto(found[0])
                page.wait_for_selector("#canvas svg")
                page.wait_for_timeout(1_000)  # transitions
                page.screenshot(path=HERE / f"page-{theme}.png")
            browser.close()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    graphs()
    pages()
