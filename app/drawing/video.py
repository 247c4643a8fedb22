"""Convert an animated PNG to an MP4 video with ffmpeg, if the machine has it."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ..errors import DrawingError, NotFound

CPU_SECONDS: Final = 30
ELAPSED_SECONDS: Final = 60
"""Limits for one video, in seconds of processor time and of elapsed time, which is longer on a busy machine."""
FRAMES_PER_SECOND: Final = 10
"""Frames of a video per second. A picture that is shown for longer is repeated, because players expect a steady rate."""
SHARED_MEMORY: Final = Path("/dev/shm")
"""A folder that can be written in a container whose files are read-only."""
ABSENT: Final = "This server cannot write MP4, because ffmpeg is not installed on it: use animation.png or animation.svg."


def program() -> str | None:
    """Return the path of ffmpeg, or ``None`` if it is not installed."""
    return shutil.which("ffmpeg")


def command(ffmpeg: str, source: Path, target: Path) -> list[str]:
    """Return the command that converts an animated PNG to an MP4, padded to even numbers of pixels, as H.264 needs.

    Both are files, not pipes: ffmpeg seeks in an animated PNG, and writes the index of a video in front of it.
    """
    filters = f"fps={FRAMES_PER_SECOND},pad=ceil(iw/2)*2:ceil(ih/2)*2,format=yuv420p"
    reads = ["-hide_banner", "-loglevel", "error", "-nostdin", "-threads", "1", "-f", "apng", "-i", str(source)]
    writes = ["-vf", filters, "-preset", "veryfast", "-movflags", "+faststart", "-f", "mp4", str(target)]
    return [ffmpeg, *reads, *writes]


async def mp4(picture: bytes) -> bytes:
    """Return an animated PNG as an MP4. Raises :class:`NotFound` without ffmpeg, and :class:`DrawingError` if ffmpeg fails."""
    if (ffmpeg := program()) is None:
        raise NotFound(ABSENT)
    where = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="tapedeck-video-", dir=where) as folder:
        source, target = Path(folder, "animation.png"), Path(folder, "animation.mp4")
        await asyncio.to_thread(source.write_bytes, picture)
        said = await _run(command(ffmpeg, source, target))
        if said is not None or not target.exists():
            raise DrawingError(f"ffmpeg failed: {(said or 'It wrote nothing.')[-300:]} Use animation.png instead.")
        return await asyncio.to_thread(target.read_bytes)


async def _run(command: Sequence[str]) -> str | None:
    """Run a command. Return ``None`` if it succeeds, else its messages. Raises :class:`DrawingError` if it takes too long."""
    nothing, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=nothing, stdout=nothing, stderr=pipe, preexec_fn=_limit, env={}
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(), ELAPSED_SECONDS)
    except TimeoutError as error:
        raise DrawingError("The video took too long to encode: use animation.png instead.") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return said.decode(errors="replace") if process.returncode else None


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
