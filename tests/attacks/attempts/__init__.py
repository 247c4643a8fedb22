"""Attempts to leave the sandbox. The kernel must refuse each of them, and the process must survive.

Each attempt runs after :data:`PRELUDE`. It prints ``ESCAPED`` if a forbidden action succeeds, ``SUSPICIOUS`` if the action
fails for a reason other than the sandbox, and otherwise ``denied``. Many attempts run in one child, so none may leave a trace.
"""

from __future__ import annotations

import os

from . import files, kernel, libraries, machine_code, outside, processes

PRELUDE = """
import builtins, ctypes, errno, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = libc.mmap.restype = ctypes.c_long
X86 = os.uname().machine == "x86_64"
MODE, PARENT, SERVER, VICTIM, PORT = {mode!r}, {parent}, {server}, {victim}, {port}
FOLDER, SECRET_FILE = {folder!r}, {secret_file!r}
FUTEX, OPENAT = (202, 257) if X86 else (98, 56)
DENIED = errno.EPERM, errno.EACCES, errno.ENOSYS
NOTHING = 'SUSPICIOUS nothing exists'
buffer = ctypes.create_string_buffer(4096)
IN_PROC = ['environ', 'mem', 'maps', 'smaps', 'pagemap', 'auxv', 'stat', 'status', 'cmdline', 'io', 'limits', 'mounts',
           'cgroup', 'fdinfo/4', 'wchan', 'stack', 'syscall', 'sched', 'oom_score_adj', 'map_files', 'task', 'root', 'cwd']

def verdict(number):
    return "denied" if number in DENIED else "SUSPICIOUS " + errno.errorcode.get(number, str(number))
def judge(number):
    print(verdict(number))
def attempt(act, *arguments, **options):
    try:
        result = act(*arguments, **options)
    except OSError as error:
        judge(error.errno)
    else:
        print("ESCAPED", repr(result)[:200])
def syscall(*arguments):
    ctypes.set_errno(0)
    if libc.syscall(*arguments) == -1: raise OSError(ctypes.get_errno(), "")
def c(name, *arguments):
    ctypes.set_errno(0)
    if getattr(libc, name)(*arguments) == -1:
        judge(ctypes.get_errno())
    else:
        print("ESCAPED", name)
def each(act, things, absent=(errno.ENOENT, errno.ENOTDIR)):
    '''Do something with each thing. Some things may not exist, but at least one does.'''
    outcomes = set()
    for thing in things:
        try:
            result = act(thing)
        except OSError as error:
            if error.errno not in absent: outcomes.add(verdict(error.errno))
        else:
            outcomes.add(f"ESCAPED {{thing!r}} {{result!r}}"[:200])
    print("; ".join(sorted(outcomes)) or NOTHING)
def sweep(act, things):
    each(act, things, absent=())
def through(act, *arguments, **options):
    '''Call a library, which may hide the reason for which it fails.'''
    try:
        result = act(*arguments, **options)
    except BaseException as error:
        chain = []
        while error is not None and error not in chain:
            chain.append(error)
            error = error.__cause__ or error.__context__
        if any(isinstance(each, OSError) and each.errno in DENIED for each in chain): print("denied")
        elif any(text in str(each) for each in chain for text in REFUSALS): print("denied")
        else: print("SUSPICIOUS", repr(chain)[:300])
    else:
        print("ESCAPED", repr(result)[:200])
REFUSALS = ["ermission denied", "not permitted", "not allowed to raise", "can't start new thread", "out of pty devices",
            "failure in name resolution", "failed to listen on any"]
ABSENT = ["No module named", "cannot import name", "unknown encoding", "does not exist"]  # no file can be read in this mode
if MODE == "nofiles": REFUSALS += ABSENT
def show(path, how="rb"):
    with open(path, how) as file:
        return file.read(200)
def clock_of(pid):
    return ~pid << 3 | 2
def span(nanoseconds):
    return (ctypes.c_long * 2)(0, nanoseconds)
def word(value):
    held.append(ctypes.c_uint32(value))
    return ctypes.byref(held[-1])
held = []
def page(at=0, shared=False, executable=False, low=False):
    '''Map a page, and return its address.'''
    flags = (1 if shared else 2) | 0x20 | (0x10 if at else 0) | (0x40 if low else 0)
    address = libc.mmap(ctypes.c_void_p(at), ctypes.c_size_t(4096), 7 if executable else 3, flags, -1, ctypes.c_long(0))
    ctypes.memset(address, 0, 1)
    return ctypes.c_void_p(address)
def low_page():
    return page(executable=True, low=True).value
def run_code(text):
    '''Run machine code, and return what it leaves in eax.'''
    code, address = bytes.fromhex(text), CODE.value
    ctypes.memmove(address, code, len(code))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()
def verdict_of_code(result):
    return "denied" if -result in DENIED else f"ESCAPED {{result}}"
def sweep_code(text, numbers):
    outcomes = {{verdict_of_code(run_code(text.format(number.to_bytes(4, 'little').hex()))) for number in numbers}}
    print("; ".join(sorted(outcomes)))
CODE = page(executable=True)
def coroutine(make):
    async def main(): return await make()
    return main()
"""
"""Names and functions that attempts use. ``MODE`` is that of the sandbox; ``PARENT``, ``SERVER`` and ``VICTIM`` are processes.
Everybody may write to ``FOLDER`` and to the file ``SECRET_FILE`` in it. The test listens at ``PORT``."""

IN_TURN = """
import json
said = []
shown, builtins.print = print, lambda *words, **_: said.append(' '.join(map(str, words)))
for name, source in {attempts!r}.items():
    said.clear()
    try:
        exec(compile(source, name, 'exec'), dict(globals()))
    except ImportError as error:
        said.append('denied' if MODE == 'nofiles' else f'SUSPICIOUS {{error!r}}')
    except BaseException as error:
        said.append(f'SUSPICIOUS {{error!r}}')
    shown(json.dumps([name, said]))
"""
"""A program that makes several attempts in turn. It prints a line of JSON for each: its name, and what it printed."""

ATTEMPTS: dict[str, str] = {
    **files.ATTEMPTS,
    **processes.ATTEMPTS,
    **outside.ATTEMPTS,
    **kernel.ATTEMPTS,
    **libraries.ATTEMPTS,
    **(machine_code.ATTEMPTS if os.uname().machine == "x86_64" else {}),
}
"""All attempts. The names are the ends of sentences that begin with "a program that"."""
