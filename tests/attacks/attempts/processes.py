"""Observe, signal and limit other processes."""

from __future__ import annotations

ATTEMPTS: dict[str, str] = {
    # their memory, signals and limits
    "signals its parent": "attempt(os.kill, PARENT, 0)",
    "kills its parent": "attempt(os.kill, PARENT, 9)",
    "kills the server": "attempt(os.kill, SERVER, 9)",
    "kills a process of the same user": "attempt(os.kill, VICTIM, 9)",
    "kills every process": "attempt(os.kill, -1, 9)",
    "kills its process group": "attempt(os.kill, 0, 9)",
    "kills its parent's process group": "attempt(os.killpg, PARENT, 9)",
    "kills a thread of another process": "c('tgkill', PARENT, PARENT, 9)",
    "kills by the older call": "c('syscall', 200 if X86 else 130, VICTIM, 9)",
    "queues a signal": "c('sigqueue', VICTIM, 9, None)",
    "kills through a pidfd": "attempt(os.pidfd_open, VICTIM)",
    "has a pipe signal another process": "import fcntl; attempt(fcntl.fcntl, 4, 8, VICTIM)",
    "chooses the signal that a pipe sends": "import fcntl; attempt(fcntl.fcntl, 4, 10, 9)",
    "makes its pipe non-blocking": "import fcntl; attempt(fcntl.fcntl, 4, 4, os.O_NONBLOCK)",
    "enlarges its pipe": "import fcntl; attempt(fcntl.fcntl, 4, 1031, 1 << 20)",
    "traces its parent": "c('ptrace', 16, PARENT, 0, 0)",
    "asks to be traced": "c('ptrace', 0, 0, 0, 0)",
    "reads another process's memory": "c('process_vm_readv', PARENT, buffer, 1, buffer, 1, 0)",
    "writes another process's memory": "c('process_vm_writev', PARENT, buffer, 1, buffer, 1, 0)",
    "takes a descriptor of the server": "c('syscall', 438, 4, 0, 0)",
    "sets a limit of its parent": "c('prlimit', PARENT, 0, buffer, None)",
    "reads its parent's limits": "c('prlimit', PARENT, 0, None, buffer)",
    "raises its own limits": "c('setrlimit', 7, buffer)",
    "lowers the priority of its parent": "attempt(os.setpriority, os.PRIO_PROCESS, PARENT, 19)",
    "moves its parent to one core": "attempt(os.sched_setaffinity, PARENT, {0})",
    "moves itself to one core": "attempt(os.sched_setaffinity, 0, {0})",
    "requests real-time scheduling": "attempt(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))",
    "interrupts every core": "c('syscall', 324 if X86 else 283, 1, 0, 0)",
    "compares processes": "c('syscall', 312 if X86 else 272, PARENT, PARENT, 0, 0, 0)",
    "gives advice about another process's memory": "c('syscall', 440, 4, buffer, 1, 0, 0)",
    # their clocks, processors and ids
    "reads the processor time of its parent": "attempt(time.clock_gettime, clock_of(PARENT))",
    "reads the processor time of the server": "attempt(time.clock_gettime, clock_of(SERVER))",
    "reads the processor time of a process of the same user": "attempt(time.clock_gettime, clock_of(VICTIM))",
    "reads the processor time of a thread of the server": "attempt(time.clock_gettime, clock_of(SERVER) | 4)",
    "reads the resolution of the server's clock": "attempt(time.clock_getres, clock_of(SERVER))",
    "sleeps on the server's clock": "c('syscall', 230 if X86 else 115, clock_of(SERVER), 1, span(1), None)",
    "sleeps on the clock of a process of the same user": """
c('syscall', 230 if X86 else 115, clock_of(VICTIM), 1, span(1), None)""",
    "finds process ids by their clocks": "sweep(time.clock_gettime, [clock_of(pid) for pid in range(1, 400)])",
    "reads a clock with a high bit": """
c('syscall', 228 if X86 else 113, ctypes.c_long(1 << 40 | (clock_of(PARENT) & 0xffffffff)), buffer)""",
    "reads the clock of a device": "attempt(time.clock_gettime, ~4 << 3 | 3)",
    "reads an alarm clock": "attempt(time.clock_gettime, 8)",
    "arms a timer on the server's clock": "c('syscall', 222 if X86 else 107, clock_of(SERVER), None, buffer)",
    "lists the processors of its parent": "attempt(os.sched_getaffinity, PARENT)",
    "lists the processors of the server": "attempt(os.sched_getaffinity, SERVER)",
    "finds process ids by their processors": "sweep(os.sched_getaffinity, {*range(1, 400)} - {os.getpid()})",
    "reads the scheduling of its parent": "attempt(os.sched_getscheduler, PARENT)",
    "reads the scheduling parameters of the server": "attempt(os.sched_getparam, SERVER)",
    "reads the priority of the server": "attempt(os.getpriority, os.PRIO_PROCESS, SERVER)",
    "raises its own priority": "attempt(os.nice, -5)",
    "lowers its own priority": "attempt(os.nice, 1)",
    "reads the priority for disks of the server": "c('syscall', 251 if X86 else 31, 1, SERVER)",
    "sets its priority for disks": "c('syscall', 251 - (not X86) * 221, 1, 0, 0)",
    "reads the process group of the server": "attempt(os.getpgid, SERVER)",
    "reads the session of the server": "attempt(os.getsid, SERVER)",
    "joins the process group of the server": "attempt(os.setpgid, 0, SERVER)",
    "reads the capabilities of the server": """
c('syscall', 125 if X86 else 90, (ctypes.c_uint32 * 2)(0x20080522, SERVER), buffer)""",
    "reads the futexes of the server's thread": "c('syscall', 274 if X86 else 100, SERVER, buffer, buffer)",
    "waits for other processes": "attempt(os.waitid, os.P_ALL, 0, os.WEXITED | os.WNOHANG)",
    "opens a pidfd of itself": "attempt(os.pidfd_open, os.getpid())",
    "moves pages of its parent": "c('syscall', 279 if X86 else 239, PARENT, 0, None, None, buffer, 0)",
    "migrates pages of its parent": "c('syscall', 256 if X86 else 238, PARENT, 8, buffer, buffer)",
    "releases the memory of a process": "c('syscall', 448, 4, 0)",
    "queues a signal with data to itself": "c('syscall', 129 if X86 else 138, os.getpid(), 34, buffer)",
    "queues a signal to a thread of its parent": "c('syscall', 297 if X86 else 240, PARENT, PARENT, 9, buffer)",
    "kills its parent with high bits in the id": "c('syscall', 62 if X86 else 129, ctypes.c_long(1 << 40 | PARENT), 9)",
    "kills a thread of its parent with high bits": """
c('syscall', 234 if X86 else 131, ctypes.c_long(1 << 40 | PARENT), PARENT, 9)""",
    "signals every process id": """
sweep(lambda pid: os.kill(pid, 0), [pid for pid in (*range(-40, 400), PARENT, SERVER) if pid != os.getpid()])""",
    "fills its user's queue of signals": """
import signal
counted = []
handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(counted.append)
libc.signal.restype = ctypes.c_void_p
libc.signal(signal.SIGRTMIN, handler)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
for _ in range(5): os.kill(os.getpid(), signal.SIGRTMIN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGRTMIN])
print('denied' if len(counted) == 1 else f'ESCAPED {len(counted)} queued')""",
    "has room for a message queue": """
import resource
print('denied' if resource.getrlimit(resource.RLIMIT_MSGQUEUE) == (0, 0) else 'ESCAPED')""",
    "has room for queued signals": """
import resource
print('denied' if resource.getrlimit(resource.RLIMIT_SIGPENDING) == (0, 0) else 'ESCAPED')""",
    "raises each of its limits": """
unlimited = (ctypes.c_ulong * 2)(2**64 - 1, 2**64 - 1)
sweep(lambda kind: syscall(302 if X86 else 261, 0, kind, unlimited, None), range(16))""",
    "sets a limit with a high address": """
page(1 << 32)
c('syscall', 302 if X86 else 261, 0, 7, ctypes.c_long(1 << 32), None)""",
    "reads the limits of the server": "import resource; attempt(resource.prlimit, SERVER, resource.RLIMIT_NOFILE)",
    "has a descriptor signal its parent in every way": """
import fcntl
each(lambda kind: fcntl.fcntl(4, kind, PARENT), [8, 10, 15, 1024, 1026])""",
}
