"""Record autograd in the process that runs the program. Only this package imports torch."""

from __future__ import annotations

import os
from typing import Final

FOLDER: Final = os.path.dirname(__file__)
"""The folder of the tracer. A frame of a file in this folder belongs to the recorder, and is never shown to the user."""
