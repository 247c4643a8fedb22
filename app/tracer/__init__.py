"""Record autograd in the process where a program runs: the only place that imports torch."""

from __future__ import annotations

import os
from typing import Final

FOLDER: Final = os.path.dirname(__file__)
"""The folder of the tracer: a frame whose file lies below it is the recorder's own, and never shown to the user."""
