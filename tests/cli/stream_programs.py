"""Small programs that print, each after a line ``### NAME``, and that import what they need from :data:`START`."""

from __future__ import annotations

START = "import atexit, contextlib, io, logging, os, subprocess, sys, threading, time, warnings\n"


def _by_name(text: str) -> dict[str, str]:
    parts = [part.partition("\n") for part in text.split("### ")[1:]]
    return {name: START + program for name, _, program in parts}


PROGRAMS = _by_name(r"""
### both streams
print('a')
print('b', file=sys.stderr)
print('c')
### without a newline
sys.stdout.write('a')
sys.stderr.write('b')
sys.stdout.write('c')
### the original streams
print('a', file=sys.__stdout__)
print('b')
print('c', file=sys.__stderr__)
print(sys.stdout is sys.__stdout__)
### warnings
def old():
    warnings.warn('old', DeprecationWarning, stacklevel=2)
for _ in range(3):
    old()
    warnings.warn('often')
warnings.simplefilter('always')
for _ in range(2):
    warnings.warn('always')
### a warning of torch
import torch
x = torch.ones(3, requires_grad=True)
for _ in range(2):
    print((x * 2).grad)
torch.tensor(torch.ones(2))
### warnings as errors
warnings.simplefilter('error')
try:
    warnings.warn('no')
except UserWarning as e:
    print(repr(e))
### a library's logger
import torch
logging.getLogger('torch.fx').warning('from %s', 'torch')
logging.basicConfig(level=logging.INFO)
logging.info('a')
print('b')
logging.error('c')
### logging without a handler
logging.getLogger('x').warning('last resort')
print('after')
### tqdm
from tqdm import tqdm
for i in tqdm(range(3), bar_format='{n}/{total}', mininterval=0):
    print(i)
### a bar
for i in range(5):
    print(f'\r{i}', end='', flush=True)
print()
### bytes to the buffer
print('a')
sys.stdout.buffer.write(b'b\n')
sys.stdout.flush()
print('c')
sys.stderr.buffer.write('é'.encode())
sys.stderr.buffer.writelines([b'x', bytearray(b'y')])
### reconfigured
sys.stdout.reconfigure(line_buffering=True, errors='backslashreplace')
print('\udc80 é')
print(sys.stdout.errors, sys.stdout.line_buffering)
### another encoding
sys.stdout.reconfigure(encoding='latin-1')
print('é')
### a surrogate
try:
    print('\udc80')
except UnicodeEncodeError as e:
    print(e)
print('\udc80', file=sys.stderr)
### a new wrapper
sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8', write_through=True)
print('wrapped é')
### redirected
import contextlib
out = io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
    print('hidden')
    print('hidden too', file=sys.stderr)
print(repr(out.getvalue()))
### what it is
for stream in (sys.stdout, sys.stderr):
    print(stream, stream.fileno(), stream.isatty(), stream.encoding, stream.errors, stream.line_buffering)
    print(stream.write_through, stream.newlines, stream.mode, stream.name, stream.writable(), stream.readable())
    print(isinstance(stream, io.TextIOWrapper), isinstance(stream.buffer, io.BufferedWriter), stream.buffer.raw.name)
### at exit
atexit.register(print, 'exit')
atexit.register(lambda: print('exit too', file=sys.stderr))
print('main')
### a thread
thread = threading.Thread(target=lambda: (time.sleep(0.2), print('thread')))
thread.start()
print('main')
### much text
for i in range(20_000):
    print(i, 'é' * 10)
### exit with a message
print('a')
sys.exit('the message')
### a gradient
import torch
x = torch.ones(2, requires_grad=True)
for i in range(3):
    loss = (x * i).sum()
    loss.backward()
    print(i, loss.item())
    print(x.grad, file=sys.stderr)
""")
"""Programs that print through ``sys.stdout`` and ``sys.stderr``: all their text is recorded."""

FOREIGN = _by_name(r"""
### os.write
print('a')
os.write(1, b'b\n')
os.write(2, b'c\n')
print('d', flush=True)
os.write(1, b'e\n')
### another program
print('a', flush=True)
subprocess.run(['echo', 'b'])
print('c')
subprocess.run('echo d; echo e >&2', shell=True)
os.system('echo f')
print('g')
### another program with our streams
print('a', flush=True)
subprocess.run(['echo', 'b'], stdout=sys.stdout, stderr=sys.stderr)
### a file on the descriptor
with open(1, 'w', closefd=False) as out:
    print('a', file=out)
print('b')
### a C library
import ctypes
c = ctypes.CDLL(None)
print('a', flush=True)
c.puts(b'b')
c.fflush(None)
print('c')
### a fork
print('before')
if os.fork() == 0:
    print('child')
    sys.exit(0)
os.wait()
print('parent')
### a fork that leaves
print('before', flush=True)
if os.fork() == 0:
    print('child', flush=True)
    os._exit(0)
os.wait()
### os._exit
print('shown', flush=True)
print('lost')
os._exit(0)
### a closed stream
print('a')
sys.stdout.close()
print('b', file=sys.stderr)
### a duplicate
copy = os.dup(1)
sys.stdout.flush()
os.dup2(2, 1)
print('to stderr', flush=True)
os.dup2(copy, 1)
print('back')
""")
"""Programs that write a part of their text without these objects, or lose a part of it."""

FAILING = _by_name(r"""
### an exception
print('a')
def fail(x):
    return [1 / x for _ in range(2)]
print(len([fail(1)])); fail(0)
### an exception of torch
import torch
class Net(torch.nn.Module):
    def forward(self, x):
        return x @ torch.ones(3, 4)
(torch.ones(2, requires_grad=True) * 2).sum().backward()
Net()(torch.ones(2))
### a chain
try:
    {}['key']
except KeyError as error:
    raise ValueError('no key') from error
### a failed backward
import torch
x = torch.ones(2, requires_grad=True)
(x * 2).backward()
### an interrupt
raise KeyboardInterrupt
### exit functions see the exception
import torch
atexit.register(lambda: print(sys.last_type, sys.last_value, type(sys.last_traceback)))
1 / 0
### a syntax error
print('not printed')
x = (1 +
""")
"""Programs that end with an exception, whose traceback Python prints to stderr."""
