"""Run functions on a stranger's data in processes that can be killed.

Parsing a program, making findings and similar work can take unbounded time and memory on hostile data, and inside the server it
would hold the interpreter's lock. :class:`Workers` calls such a function in a process of its own, which is killed when the call
exceeds its :class:`Budget`, and replaced::

    workers = Workers(2, modules=("tapedeck.inputs.request",))
    await workers.start()
    parsed = await workers.run(requests.read, body, media_type, budget=Budget(cpu_seconds=1.0))

    async for finding in workers.stream(findings, recording, budget=Budget(wall_seconds=2.0)):
        ...                         # every value that the generator yielded within the budget

:exc:`~tapedeck.errors.OverBudget` is raised if the budget is exceeded. An exception of the function is raised in the caller.
The function must be importable by its name; its arguments and its answer are pickled. It runs with the server's permissions,
so it may parse a stranger's program but must never run it. Use ``sandbox`` to run programs.

Calls wait in the order in which they arrived. To share the processes fairly between clients, enter a :class:`FairGate` first.

The processes import ``modules`` when they start, and never torch. An idle one needs about 40 MB. A call takes about half a
millisecond, plus the time to send its data.
"""

from .gate import FairGate
from .pool import Budget, Workers

__all__ = ["Budget", "FairGate", "Workers"]
