"""Run attacks in the real sandbox. All of them fail, leave nothing behind, and do not disturb the next program.

Each attack runs after :data:`PRELUDE`. Its function ``attempt`` prints ``ESCAPED`` if a forbidden action succeeds, and
``SUSPICIOUS`` if it fails for a reason other than the sandbox. ``PARENT``, ``SERVER`` and ``VICTIM`` are process ids.
``FOLDER`` is a folder that everybody may write to, and ``SECRET_FILE`` a file in it.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]  # the fast tests of the sandbox are in test_ordinary and test_with_tracer

SECRET = "a-secret-of-the-server-3f9c"

PRELUDE = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
X86 = os.uname().machine == "x86_64"
PARENT, SERVER, VICTIM, FOLDER, SECRET_FILE = {parent}, {server}, {victim}, {folder!r}, {secret_file!r}
def judge(number):
    theirs = number in (errno.EPERM, errno.EACCES, errno.ENOSYS)
    print("denied" if theirs else "SUSPICIOUS " + errno.errorcode.get(number, str(number)))
def attempt(act, *arguments):
    try:
        result = act(*arguments)
    except OSError as error:
        judge(error.errno)
    else:
        print("ESCAPED", repr(result)[:200])
def c(name, *arguments):
    ctypes.set_errno(0)
    if getattr(libc, name)(*arguments) == -1:
        judge(ctypes.get_errno())
    else:
        print("ESCAPED", name)
def show(path, how="rb"):
    with open(path, how) as file:
        return file.read(200)
buffer = ctypes.create_string_buffer(4096)
"""

DENIED: dict[str, str] = {
    # reading files
    "reads the list of users": "attempt(show, '/etc/passwd')",
    "reads a secret file": "attempt(show, SECRET_FILE)",
    "reads its own environment through proc": "attempt(show, '/proc/self/environ')",
    "reads the server's environment": "attempt(show, f'/proc/{SERVER}/environ')",
    "reads its parent's memory": "attempt(show, f'/proc/{PARENT}/mem')",
    "reads the server's command line": "attempt(show, f'/proc/{SERVER}/cmdline')",
    "reads its own memory map": "attempt(show, '/proc/self/maps')",
    "writes its own memory": "attempt(open, '/proc/self/mem', 'r+b')",
    "reads through proc's root link": "attempt(show, '/proc/self/' + 'root/etc/passwd')",
    "climbs out of a readable folder": "attempt(show, os.path.dirname(os.__file__) + '/../../../../../../../../etc/passwd')",
    "reads tapedeck's own source": "import tapedeck.wire; attempt(show, tapedeck.wire.__file__)",
    "lists the root": "attempt(os.listdir, '/')",
    "lists a folder": "attempt(os.listdir, FOLDER)",
    "lists the processes": "attempt(os.listdir, '/proc')",
    "lists its descriptors": "attempt(os.listdir, '/proc/self/fd')",
    "follows a link": "attempt(os.readlink, '/proc/self/exe')",
    "reads the kernel's log": "attempt(show, '/dev/kmsg')",
    "reads shared memory of other programs": "attempt(show, '/dev/shm')",
    "reads a disk": "attempt(show, '/dev/vda')",
    "opens a terminal": "attempt(show, '/dev/tty')",
    "opens by openat2": "c('syscall', 437, -100, b'/etc/passwd', buffer, 24)",
    "opens by handle": "c('open_by_handle_at', -100, buffer, 0)",
    "opens a file with O_PATH": "attempt(os.open, '/', 0o10000000)",
    "watches a file": "c('inotify_init')",
    "watches the whole machine": "c('fanotify_init', 0, 0)",
    "uses io_uring": "c('syscall', 425, 8, buffer)",
    "asks about a file system": "attempt(os.statvfs, '/')",
    # writing files
    "writes a file": "attempt(open, FOLDER + '/written', 'w')",
    "appends to a secret file": "attempt(open, SECRET_FILE, 'a')",
    "writes into the standard library": "attempt(open, os.__file__, 'r+')",
    "writes bytecode beside a module": "attempt(open, os.path.dirname(os.__file__) + '/__pycache__/tapedeck-attack.pyc', 'wb')",
    "creates an unnamed file": "attempt(os.open, FOLDER, os.O_TMPFILE | os.O_RDWR, 0o600)",
    "creates a file in shared memory": "attempt(open, '/dev/shm/tapedeck-attack', 'w')",
    "creates a file in memory": "attempt(os.memfd_create, 'x')",
    "creates a file exclusively": "attempt(os.open, FOLDER + '/made', os.O_CREAT | os.O_EXCL | os.O_RDWR)",
    "removes a file": "attempt(os.remove, SECRET_FILE)",
    "removes a folder": "attempt(os.rmdir, FOLDER)",
    "renames a file": "attempt(os.rename, SECRET_FILE, FOLDER + '/renamed')",
    "creates a symbolic link": "attempt(os.symlink, '/etc/passwd', FOLDER + '/link')",
    "creates a hard link": "attempt(os.link, SECRET_FILE, FOLDER + '/hard')",
    "creates a folder": "attempt(os.mkdir, FOLDER + '/made')",
    "creates a named pipe": "attempt(os.mkfifo, FOLDER + '/fifo')",
    "creates a device": "attempt(os.mknod, FOLDER + '/device')",
    "changes a mode": "attempt(os.chmod, SECRET_FILE, 0o666)",
    "changes an owner": "attempt(os.chown, SECRET_FILE, 1, 1)",
    "changes times": "attempt(os.utime, SECRET_FILE, (1, 1))",
    "sets an extended attribute": "attempt(os.setxattr, SECRET_FILE, 'user.x', b'1')",
    "reads an extended attribute": "attempt(os.getxattr, SECRET_FILE, 'user.x')",
    "truncates a file": "attempt(os.truncate, SECRET_FILE, 0)",
    "changes its current folder": "attempt(os.chdir, FOLDER)",
    "changes its root folder": "attempt(os.chroot, FOLDER)",
    "mounts a file system": "c('mount', b'none', FOLDER.encode(), b'tmpfs', 0, 0)",
    "unmounts the root": "c('umount2', b'/', 2)",
    # other processes
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
    "moves its parent to one core": "attempt(os.sched_setaffinity, PARENT, {{0}})",
    "moves itself to one core": "attempt(os.sched_setaffinity, 0, {{0}})",
    "requests real-time scheduling": "attempt(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))",
    "interrupts every core": "c('syscall', 324 if X86 else 283, 1, 0, 0)",
    "compares processes": "c('syscall', 312 if X86 else 272, PARENT, PARENT, 0, 0, 0)",
    "gives advice about another process's memory": "c('syscall', 440, 4, buffer, 1, 0, 0)",
    # new processes
    "forks": "attempt(os.fork)",
    "forks by libc": "c('fork')",
    "clones by hand": "c('syscall', 56 if X86 else 220, 17, 0, 0, 0, 0)",
    "clones by the newer call": "c('syscall', 435, buffer, 88)",
    "runs a command": "import subprocess; attempt(subprocess.run, ['/bin/true'])",
    "runs a shell": "print('ESCAPED' if os.system('exit 0') == 0 else 'denied')",
    "spawns a process": "attempt(os.posix_spawn, '/bin/true', ['true'], {{}})",
    "executes another program": "attempt(os.execv, '/bin/true', ['true'])",
    "executes a program in memory": "c('syscall', 322 if X86 else 281, 4, b'', None, None, 0x1000)",
    "opens a pseudo-terminal": "c('posix_openpt', 2)",
    # the network
    "opens a TCP socket": "import socket; attempt(socket.socket)",
    "opens a UDP socket": "import socket; attempt(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)",
    "opens an IPv6 socket": "import socket; attempt(socket.socket, socket.AF_INET6)",
    "opens a local socket": "import socket; attempt(socket.socket, socket.AF_UNIX)",
    "opens a pair of sockets": "import socket; attempt(socket.socketpair)",
    "opens a netlink socket": "import socket; attempt(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    "opens a packet socket": "import socket; attempt(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)",
    "opens a vsock": "import socket; attempt(socket.socket, 40)",
    "opens a kernel crypto socket": "import socket; attempt(socket.socket, 38, 5, 0)",
    "uses a pipe as a socket": "c('sendmsg', 4, buffer, 0)",
    "sends the content of another file": "attempt(os.sendfile, 4, 4, 0, 1)",
    # the kernel
    "enters a namespace": "c('unshare', 0x10000000)",
    "joins its parent's namespace": "c('setns', 4, 0)",
    "loads a BPF program": "c('syscall', 321 if X86 else 280, 0, buffer, 64)",
    "counts performance events": "c('syscall', 298 if X86 else 241, buffer, 0, -1, -1, 0)",
    "handles its own page faults": "c('syscall', 323 if X86 else 282, 0)",
    "reads the kernel's keys": "c('syscall', 250 if X86 else 219, 0, -3, 0, 0, 0)",
    "shares memory with System V calls": "c('shmget', 1234, 4096, 0o1666)",
    "creates a System V message queue": "c('msgget', 1234, 0o1666)",
    "creates System V semaphores": "c('semget', 1234, 1, 0o1666)",
    "creates a POSIX message queue": "c('syscall', 240 if X86 else 180, b'tapedeck-attack', 0o102, 0o600, None)",
    "creates a timer that sends a signal": "c('syscall', 222 if X86 else 107, 0, None, buffer)",
    "creates an event descriptor": "c('eventfd', 0, 0)",
    "locks memory": "c('mlockall', 3)",
    "changes its personality": "c('personality', 0x0040000)",
    "controls a terminal": "import fcntl; attempt(fcntl.ioctl, 0, 0x5412, b'x')",
    "becomes root": "attempt(os.setresuid, 0, 0, 0)",
    "becomes another user": "attempt(os.setresuid, 1234, 1234, 1234)",
    "joins groups": "attempt(os.setgroups, [0])",
    "takes capabilities": "c('capset', buffer, buffer)",
    "makes itself dumpable": "c('prctl', 4, 1, 0, 0, 0)",
    "clears its parent death signal": "c('prctl', 1, 0, 0, 0, 0)",
    "installs a seccomp filter with a listener": "c('syscall', 317 if X86 else 277, 1, 8, buffer)",
    "requests the Landlock version": "c('syscall', 444, None, 0, 1)",
    "sets the clock": "import time; attempt(time.clock_settime, time.CLOCK_REALTIME, 1.0)",
    "sets the host name": "c('sethostname', b'x', 1)",
    "restarts the machine": "c('reboot', 0)",
    "loads a kernel module": "c('syscall', 175 if X86 else 105, buffer, 1, b'')",
    "enables swap": "c('swapon', b'/dev/vda', 0)",
    "enables process accounting": "c('acct', None)",
    "starts a session": "attempt(os.setsid)",
    "reads the system's log": "c('klogctl', 3, buffer, 100)",
    "splices memory into a pipe": "c('vmsplice', 4, buffer, 1, 0)",
}
"""Actions that the kernel must refuse. None may succeed, and none may fail for another reason."""

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
    "fetches a page": ("import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/')", {"failed"}),
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
    "sends an end with a status of the server": (
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
"""Programs that may run but must do no harm, each with the statuses with which it may end."""


class Surroundings(NamedTuple):
    """The files and the socket that attacks try to reach, and the state of the secret file before."""

    folder: Path
    secret_file: Path
    listener: socket.socket
    before: os.stat_result

    def prelude(self, runner: Any, victim: int) -> str:
        return PRELUDE.format(
            parent=runner.executor.zygote,
            server=os.getpid(),
            victim=victim,
            folder=str(self.folder),
            secret_file=str(self.secret_file),
        )

    def is_untouched(self) -> bool:
        now = self.secret_file.stat()
        fields = ("st_mode", "st_uid", "st_size", "st_mtime", "st_nlink")
        same = all(getattr(now, field) == getattr(self.before, field) for field in fields)
        return same and [path.name for path in self.folder.iterdir()] == [self.secret_file.name]


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("open")
    # Make the folders above accessible to everybody: the sandbox must deny access, not the file permissions.
    for above in (folder, folder.parent, folder.parent.parent):
        above.chmod(0o755)
    folder.chmod(0o777)
    secret_file = folder / "secret"
    secret_file.write_text(SECRET)
    secret_file.chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Surroundings(folder, secret_file, listener, secret_file.stat())


@pytest.fixture
def attack(runner: Any, surroundings: Surroundings, victim: subprocess.Popen[bytes]) -> Any:
    """Run a program as an attack, and check afterwards that nothing has changed."""

    def run(program: str, **limits: Any) -> Any:
        zygote = runner.executor.zygote
        body = program.replace("{port}", str(surroundings.listener.getsockname()[1])).replace("{{", "{").replace("}}", "}")
        outcome = runner.run(surroundings.prelude(runner, victim.pid) + body, **limits)
        assert "ESCAPED" not in outcome.text
        assert "SUSPICIOUS" not in outcome.text
        assert SECRET not in repr(outcome.events)

        after = runner.run("print(6 * 7)")
        assert (after.status, after.text) == ("done", "42\n")
        assert victim.poll() is None, "the victim was killed"
        assert runner.executor.zygote == zygote, "the zygote was replaced"
        assert surroundings.is_untouched()
        assert not [path for name in ("/tmp", "/dev/shm") for path in Path(name).glob("tapedeck-*attack*")]
        with pytest.raises(BlockingIOError):
            surroundings.listener.accept()
        assert len(runner.children()) <= 4, "a child is still running"
        return outcome

    return run


@pytest.mark.parametrize("name", DENIED)
def test_the_kernel_refuses_a_program_that(attack: Any, name: str) -> None:
    outcome = attack(DENIED[name])
    assert "denied" in outcome.text, outcome


@pytest.mark.parametrize("name", CONTAINED)
def test_the_sandbox_contains_a_program_that(attack: Any, name: str) -> None:
    program, statuses = CONTAINED[name]
    outcome = attack(program, wall_seconds=0.5 if "timed_out" in statuses else 30.0)
    assert outcome.status in statuses, outcome
    if outcome.status != "done":
        assert outcome.failure is not None
        assert outcome.failure.message


def test_every_system_call_that_is_not_listed_is_denied(attack: Any) -> None:
    from tapedeck.sandbox.seccomp import COMPUTING, LOOKING, MACHINES

    machine = MACHINES[os.uname().machine]
    conditional = {"open", "openat", "fcntl", "prlimit64", "kill", "tgkill"}
    listed = {machine.numbers[name] for name in {*COMPUTING, *LOOKING, *conditional} if name in machine.numbers}
    # seccomp does not filter uretprobe and uprobe. Outside a probe they only end the caller.
    probes = {335, 336} if os.uname().machine == "x86_64" else set()
    program = f"""
wrong = []
for number in range(600):
    if number in {listed | probes!r}: continue
    ctypes.set_errno(0)
    result = libc.syscall(number, -1, -1, -1, -1, -1, -1)
    if result != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS): wrong.append((number, result, ctypes.get_errno()))
print("denied" if not wrong else wrong)
"""
    assert attack(program).text == "denied\n"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="other tables of system calls exist on x86-64 only")
@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("32-bit", "b8 14 00 00 00 cd 80 c3"),  # mov eax, getpid; int 0x80; ret
        ("x32", "b8 27 00 00 40 0f 05 c3"),  # mov eax, getpid | 0x40000000; syscall; ret
    ],
)
def test_a_call_from_another_system_call_table_is_denied_without_a_kill(attack: Any, table: str, code: str) -> None:
    program = f"""
import mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("{code}"))
at = ctypes.addressof(ctypes.c_char.from_buffer(page))
result = ctypes.CFUNCTYPE(ctypes.c_int)(at)()
print("denied" if result == -errno.ENOSYS else "ESCAPED", result)
"""
    outcome = attack(program)
    # Every kill by seccomp writes a line to the kernel's log, which programs could fill.
    assert (outcome.status, outcome.text) == ("done", f"denied {-errno.ENOSYS}\n")


def test_a_program_finds_no_trace_of_an_earlier_one(attack: Any) -> None:
    mark = "left-behind-by-another"
    assert attack(f"import builtins, torch\nbuiltins.left = torch.left = sys.left = {mark!r}").status == "done"
    search = f"""
import builtins, gc, torch
half = {mark[:9]!r}
print(hasattr(builtins, "left"), hasattr(torch, "left"), hasattr(sys, "left"), "left" in globals())
print([1 for thing in gc.get_objects() if isinstance(thing, dict) and thing is not globals()
       for value in list(thing.values()) if isinstance(value, str) and value.startswith(half) and "behind-by" in value])
"""
    assert attack(search).text == "False False False False\n[]\n"


@pytest.mark.parametrize(
    "name",
    [
        "reads the list of users", "lists a folder", "lists the root", "writes a file", "creates a folder", "runs a shell",
        "reads its parent's limits", "opens a TCP socket", "opens a local socket", "creates an event descriptor",
    ],
)  # fmt: skip
def test_without_the_sandbox_an_attack_succeeds_that(unconfined: Any, surroundings: Surroundings, name: str) -> None:
    """The attacks themselves work, so a successful one would be noticed."""
    outcome = unconfined.run(surroundings.prelude(unconfined, os.getpid()) + DENIED[name])
    (surroundings.folder / "written").unlink(missing_ok=True)
    if (surroundings.folder / "made").exists():
        (surroundings.folder / "made").rmdir()
    assert "ESCAPED" in outcome.text, outcome


@pytest.fixture(scope="module")
def unconfined(make_runner: Any) -> Any:
    made = make_runner("none", entry="light_entry")
    yield made
    made.close()
