"""Start processes, and reach the network."""

from __future__ import annotations

ATTEMPTS: dict[str, str] = {
    # new processes
    "forks": "attempt(os.fork)",
    "forks by libc": "c('fork')",
    "clones by hand": "c('syscall', 56 if X86 else 220, 17, 0, 0, 0, 0)",
    "clones by the newer call": "c('syscall', 435, buffer, 88)",
    "runs a command": "import subprocess; attempt(subprocess.run, ['/bin/true'])",
    "runs a shell": "print('ESCAPED' if os.system('exit 0') == 0 else 'denied')",
    "spawns a process": "attempt(os.posix_spawn, '/bin/true', ['true'], {})",
    "executes another program": "attempt(os.execv, '/bin/true', ['true'])",
    "executes a program in memory": "c('syscall', 322 if X86 else 281, 4, b'', None, None, 0x1000)",
    "opens a pseudo-terminal": "c('posix_openpt', 2)",
    "forks with the older call": "c('syscall', 57 if X86 else 220)",
    "forks and shares its memory": "c('syscall', 58 if X86 else 220)",
    "forks with high bits in the call": "c('syscall', ctypes.c_long(1 << 40 | (57 if X86 else 220)), 17, 0, 0, 0, 0)",
    "starts a thread by hand": "c('syscall', 56 if X86 else 220, 0x50f00, 0, 0, 0, 0)",
    "executes with high bits in the call": """
c('syscall', ctypes.c_long(1 << 40 | (59 if X86 else 221)), b'/bin/true', None, None)""",
    "executes a descriptor": "c('fexecve', 4, (ctypes.c_char_p * 2)(b'x', None), (ctypes.c_char_p * 1)(None))",
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
}
