"""Run a recorded program again, up to a step, for what was not recorded: the loss elsewhere, a check, local factors.

A replay first proves itself: every number that it tells up to and with its step is compared with the recording.
"""

from __future__ import annotations

from .answer import Replay
from .asked import Asked, read
from .story import Replaying, Replays

__all__ = ["Asked", "Replay", "Replaying", "Replays", "read"]
