"""Record autograd in the process that runs the program. Only this package imports torch.

Its modules and packages, from the top down. Each imports only from those below it:

- ``main.py``: warm the process up, and run a job
- ``program.py``, ``recorder.py``: run the cells of a program; construct the parts and connect them
- ``statement_recorder.py``: record the marked statements: the values of lines, loops, and names
- ``testing``: assert that the gradients of a user's function are its slopes
- ``replay``: evaluate recorded calls again for surfaces, gradient checks and local factors; watch an expression, with the
  recorder or by counting statements
- ``backward``: walk the graph of a pass, hook its nodes, report how it failed
- ``training``: parameters, updates, optimizers, and where steps end (``boundaries.py``), their data (``open_step.py``) and
  emission (``step_emission.py``)
- ``forward``: observe the calls that make nodes, and writes in place, of one thread
- ``environment``: what a program expects around it, such as stdout, a stack, an event loop, plotting and forks
- ``source``: statements, lines, loops, names and tracebacks of the program
- ``emitter.py``: collect events and send them as frames
- ``tensors``: elements, statistics, memory, lifetimes, and the columns that cross the wire
"""

from __future__ import annotations

import os
from typing import Final

FOLDER: Final = os.path.dirname(__file__)
"""The folder of the tracer. A frame of a file in this folder belongs to the recorder, and is never shown to the user."""
