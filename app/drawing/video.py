"""Convert an animated PNG to an MP4 video with ffmpeg, if the machine has it."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
from typing import Final

from ..errors import DrawingError, NotFound

SECONDS: Final = 30
"""Limit for one video, in seconds of elapsed time and in seconds of processor time."""
ABSENT: Final = "This server cannot write MP4, because ffmpeg is not installed on it: use animation.png or animation.svg."


def program() -> str | None:
    """Return the path of ffmpeg, or ``None`` if it is not installed."""
    return shutil.which("ffmpeg")


def command(ffmpeg: str) -> list[str]:
    """Return the command that converts an animated PNG to an MP4, padded to even numbers of pixels, as H.264 needs."""
    filters = "pad=ceil(iw/2)*2:ceil(ih/2)*2,format=yuv420p"
    reads = ["-hide_banner", "-loglevel", "error", "-threads", "1", "-f", "apng", "-i", "pipe:0"]
    writes = ["-vf", filters, "-r", "10", "-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "pipe:1"]
    return [ffmpeg, *reads, *writes]


async def mp4(picture: bytes) -> bytes:
    """Return an animated PNG as an MP4. Raises :class:`NotFound` without ffmpeg, and :class:`DrawingError` if ffmpeg fails."""
    if (ffmpeg := program()) is None:
        raise NotFound(ABSENT)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command(ffmpeg), stdin=pipe, stdout=pipe, stderr=pipe, preexec_fn=_limit, env={}
    )
    try:
        made, said = await asyncio.wait_for(process.communicate(picture), SECONDS)
    except TimeoutError as error:
        raise DrawingError("The video took too long to encode: use animation.png instead.") from error
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode or not made:
        raise DrawingError(f"ffmpeg failed: {said.decode(errors='replace')[-300:]} Use animation.png instead.")
    return made


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
