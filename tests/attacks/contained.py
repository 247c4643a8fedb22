"""Programs that may run but must do no harm."""

from __future__ import annotations

CONTAINED: dict[str, tuple[str, set[str]]] = {
    "searches its memory for the server's secrets": (
        r"""
import gc
for thing in gc.get_objects():
    if isinstance(thing, dict) and thing is not globals() and '__name__' not in thing:
        if any('3f9c' in value for value in list(thing.values()) if isinstance(value, str)):
            print('ESCAPED', len(thing))
print('ESCAPED' if any('3f9c' in value for value in os.environ.values()) else 'clean')
""",
        {"done"},
    ),
    "tries every descriptor": (
        r"""
for fd in range(5, 2000):
    try: os.fstat(fd)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EPERM): print('SUSPICIOUS', error)
    else: print('ESCAPED', fd)
""",
        {"done"},
    ),
    "reads from its descriptors": (
        r"""
for fd in (0, 1, 2):
    if os.read(fd, 100): print('ESCAPED', fd)
for fd in (3, 4):
    try: print('ESCAPED', os.read(fd, 100))
    except OSError: pass
""",
        {"done"},
    ),
    "uses up its descriptors": ("while True: os.dup(4)", {"failed"}),
    "starts a thread": ("import threading; threading.Thread(target=print, args=('ESCAPED',)).start()", {"failed"}),
    "starts a thousand threads": (
        r"""
import threading
for _ in range(1000):
    try:
        threading.Thread(target=print, args=('ESCAPED',)).start()
    except RuntimeError:
        pass
""",
        {"done"},
    ),
    "forks endlessly": (
        r"""
while True:
    try: os.fork()
    except OSError: break
print('denied')
""",
        {"done"},
    ),
    "resolves a host name": ("import socket; socket.getaddrinfo('example.org', 80)", {"failed"}),
    "fetches a page": ("import urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{PORT}/')", {"failed"}),
    "loops endlessly": ("while True: pass", {"timed_out"}),
    "sleeps endlessly": (
        r"""
import time
while True: time.sleep(1000)
""",
        {"timed_out"},
    ),
    "loops endlessly in C": ("sum(iter(int, 1))", {"timed_out"}),
    "ignores every signal and loops": (
        r"""
import signal
for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except OSError:
        pass
while True: pass
""",
        {"timed_out"},
    ),
    "swallows every exception and loops": (
        r"""
while True:
    try:
        while True: pass
    except BaseException: pass
""",
        {"timed_out"},
    ),
    "stops itself": ("import signal; os.kill(os.getpid(), signal.SIGSTOP)", {"timed_out"}),
    "allocates a hundred gigabytes": ("bytearray(100 << 30)", {"out_of_memory"}),
    "allocates all memory": (
        r"""
held = []
while True: held.append(bytearray(1 << 24))
""",
        {"out_of_memory"},
    ),
    "maps all memory as shared": (
        r"""
import mmap
held = []
while True: held.append(mmap.mmap(-1, 1 << 26))
""",
        {"failed", "out_of_memory"},
    ),
    "creates a tensor larger than the memory": ("import torch; torch.ones(25 << 30)", {"out_of_memory"}),
    "creates an array larger than the memory": ("import numpy; numpy.ones(25 << 30)", {"out_of_memory"}),
    "reserves memory without using it": (
        "import mmap; mmap.mmap(-1, 100 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)",
        {"failed", "out_of_memory"},
    ),
    "grows its heap by hand": (
        r"""
libc.sbrk.restype = ctypes.c_long
grown = 0
while libc.sbrk(ctypes.c_long(1 << 24)) != -1: grown += 1 << 24
print('ESCAPED' if grown > 8 << 30 else 'denied')
""",
        {"done"},
    ),
    "sends itself an alarm": (
        r"""
import signal
signal.setitimer(signal.ITIMER_REAL, 0.01)
while True: pass
""",
        {"killed"},
    ),
    "asks PyTorch for many threads": (
        r"""
import torch
torch.set_num_threads(64)
(torch.ones(500, 500) @ torch.ones(500, 500)).sum().item()
""",
        {"done", "failed", "killed"},
    ),
    "forks in TorchScript": (
        r"""
import torch
print(torch.jit.wait(torch.jit.fork(torch.sin, torch.ones(1))) is None)
""",
        {"done", "failed", "killed"},
    ),
    "grows a string endlessly": (
        r"""
x = 'x' * (1 << 20)
while True: x = x + x
""",
        {"out_of_memory"},
    ),
    "grows a number endlessly": (
        r"""
x = 10
while True: x = x * x
""",
        {"out_of_memory", "timed_out"},
    ),
    "recurses endlessly": (
        r"""
def f(): f()
f()
""",
        {"failed"},
    ),
    "recurses past the stack": (
        r"""
sys.setrecursionlimit(10**9)
def f(_): return max([1], key=f)
f(0)
""",
        {"killed", "failed", "out_of_memory"},
    ),
    "nests iterators past the stack": (
        r"""
x = iter([1])
for _ in range(2_000_000): x = map(int, x)
next(x)
""",
        {"killed", "failed", "out_of_memory"},
    ),
    "backtracks in a regular expression": ("import re; re.match(r'(a+)+$', 'a' * 60 + 'b')", {"timed_out"}),
    "exits with sys.exit": ("sys.exit(3)", {"failed"}),
    "exits immediately": ("os._exit(0)", {"killed"}),
    "exits immediately with a code": ("os._exit(70)", {"killed"}),
    "aborts": ("os.abort()", {"killed"}),
    "kills itself": ("os.kill(os.getpid(), 9)", {"killed"}),
    "reads a null pointer": ("ctypes.string_at(0)", {"killed"}),
    "jumps to an invalid address": ("ctypes.CFUNCTYPE(None)(16)()", {"killed"}),
    "writes over the interpreter": ("ctypes.memset(id(int), 0xff, 4096); int('3')", {"failed", "killed"}),
    "closes its pipe and continues": (
        r"""
os.close(4)
while True: pass
""",
        {"killed"},
    ),
    "closes every descriptor": ("os.closerange(0, 100)", {"killed"}),
    "prints endlessly": ("while True: print('x' * 100_000)", {"output_limit"}),
    "writes ten megabytes of zeros": (r"WRITE(b'\x00' * 10_000_000)", {"killed"}),
    "sends a frame of four gigabytes": (r"WRITE(b'\xff\xff\xff\x7f'); os.write(4, b'x' * 1000)", {"killed"}),
    "sends an endless message": (
        r"""
import struct
frame = struct.pack('<I', 1 << 20 | 1 << 31) + bytes(1 << 20)
while True: WRITE(frame)
""",
        {"killed", "output_limit"},
    ),
    "sends endless empty frames": (
        r"""
while True: WRITE(b'\x00\x00\x00\x80' * 10_000)
""",
        {"killed", "output_limit"},
    ),
    "sends invalid data": (r"WRITE(b'\x03\x00\x00\x00abc')", {"killed"}),
    "sends deeply nested lists": (r"WRITE((500_000).to_bytes(4, 'little') + b'\x91' * 500_000)", {"killed"}),
    "sends an event of an unknown kind": (
        r"""
from tapedeck import wire
WRITE(wire.frames(b'\x91\x92\xa3foo\x01'))
""",
        {"killed"},
    ),
    "sends an end with a status that only the server may set": (
        r"""
from tapedeck import wire
WRITE(wire.frames(wire.pack([wire.EndEvent('cancelled', None, 1.0)])))
""",
        {"killed"},
    ),
    "sends a million events": (
        r"""
from tapedeck import wire
frame = wire.frames(wire.pack([wire.ProgressEvent(1)] * 50_000))
while True: WRITE(frame)
""",
        {"killed", "output_limit"},
    ),
    "sends a graph with invalid indices": (
        r"""
from array import array
from tapedeck import wire
seven, zero = array('i', [7]).tobytes(), array('i', [0]).tobytes()
graph = wire.GraphEvent(0, ['a'], b'\0', *[zero] * 11, b'', seven, *[b''] * 5)
WRITE(wire.frames(wire.pack([graph])))
""",
        {"killed"},
    ),
    "sends events after its end": (
        r"""
from tapedeck import wire
WRITE(wire.frames(wire.pack([wire.EndEvent('done', None, 1.0), wire.OutputEvent('ESCAPED')])))
""",
        {"done"},
    ),
}
"""Each program, and the statuses with which it may end. It runs after :data:`.attempts.PRELUDE`."""
