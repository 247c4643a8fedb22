"""Record the program on standard input in this process, and print measurements of the recording.

``python record_measured.py NODES`` is run with the stack size of a sandboxed process: a deep graph is freed recursively.
"""

from __future__ import annotations

import json
import resource
import sys

import torch
from tapedeck import wire
from tapedeck.model import Limits
from tapedeck.tracer.main import execute, warm


def main() -> None:
    """Print one line of JSON: the peak memory of the recording in bytes, the bytes sent, and a summary of the events."""
    program, limit = sys.stdin.read(), int(sys.argv[1])
    torch.set_num_threads(1)
    warm()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent: list[bytes] = []
    execute(wire.Job(program, [(1, program.count("\n") + 1)], nodes=limit), sent.append)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    reader = wire.Reader(Limits())
    events = [event for data in sent for event in reader.feed(data)]
    measurements = {
        "peak": peak,
        "bytes": sum(map(len, sent)),
        "status": next(event.status for event in events if isinstance(event, wire.EndEvent)),
        "stdout": "".join(event.text for event in events if isinstance(event, wire.OutputEvent)),
        "graphs": [len(event.kind) for event in events if isinstance(event, wire.GraphEvent)],
        "passes": [len(event.order) // 4 for event in events if isinstance(event, wire.PassEvent)],
        "signals": [type(event).__name__ for event in events if isinstance(event, wire.Signal)],
    }
    print(json.dumps(measurements))


main()
