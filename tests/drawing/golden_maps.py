"""Keep pictures of maps as files. Run this module to write them anew, then look at each of them::

python -m tests.drawing.golden_maps
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from tapedeck.drawing import picture
from tapedeck.drawing.engine import LayoutEngine
from tapedeck.map.read import read_map
from tapedeck.recording import Recording

from ..tracer.run_twice import record
from .map_programs import MODELS

FOLDER: Final = Path(__file__).parent / "golden"


def path_of(name: str, theme: picture.Theme) -> Path:
    return FOLDER / f"{name.replace(' ', '-')}-{theme}.svg"


def golden(recording: Recording, theme: picture.Theme, engine: LayoutEngine) -> str:
    """Return the picture of the first view of the last pass, as a map even if the graph is small."""
    index = recording.log.counts()[1] - 1
    view = read_map(recording, recording.log.pass_(index).graph, index).view
    return asyncio.run(picture.render(recording, index, "svg", theme=theme, view=view, engine=engine)).decode()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, program in MODELS.items():
        recording = record(program)[1]
        for theme in ("light", "dark"):
            path_of(name, theme).write_text(golden(recording, theme, LayoutEngine(nested=120.0, seconds=120.0)))
