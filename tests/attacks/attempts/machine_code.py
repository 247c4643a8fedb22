"""Call the kernel from machine code, also through other tables of system calls."""

from __future__ import annotations

ATTEMPTS: dict[str, str] = {
    # x86-64
    "calls the kernel from its own code": "print(verdict_of_code(run_code('b8 39 00 00 00 0f 05 c3')))",
    "calls with high bits from its own code": "print(verdict_of_code(run_code('48 b8 39 00 00 00 01 00 00 00 0f 05 c3')))",
    "calls through the table of x32": "print(verdict_of_code(run_code('b8 27 00 00 40 0f 05 c3')))",
    "forks through the table of x32": "print(verdict_of_code(run_code('b8 39 00 00 40 0f 05 c3')))",
    "executes through the table of x32": "print(verdict_of_code(run_code('b8 08 02 00 40 0f 05 c3')))",
    "calls through the table of 32-bit programs": "print(verdict_of_code(run_code('b8 14 00 00 00 cd 80 c3')))",
    "forks through the table of 32-bit programs": "print(verdict_of_code(run_code('b8 02 00 00 00 cd 80 c3')))",
    "executes through the table of 32-bit programs": "print(verdict_of_code(run_code('b8 0b 00 00 00 cd 80 c3')))",
    "opens a socket through the table of 32-bit programs": """
print(verdict_of_code(run_code('53 b8 66 00 00 00 bb 01 00 00 00 cd 80 5b c3')))""",
    "kills through the table of 32-bit programs": """
print(verdict_of_code(run_code('53 b8 25 00 00 00 bb ' + PARENT.to_bytes(4,
     'little').hex() + ' b9 09 00 00 00 cd 80 5b c3')))""",
    "tries every call of x32": "sweep_code('b8 {} 0f 05 c3', [0x40000000 | number for number in range(600)])",
    "tries every call of 32-bit programs": "sweep_code('53 b8 {} cd 80 5b c3', range(470))",
    "jumps into 32-bit code": """
# Load a low stack, return far to the 32-bit segment, call, and return far to the 64-bit segment.
low = low_page()
def four(number): return number.to_bytes(4, 'little').hex()
enter = bytes.fromhex('4154 4989e4 bc' + four(low + 4000) + '6a23 68' + four(low + 64) + '48cb')
inside = bytes.fromhex('b814000000 cd80 6a33 68' + four(low + 128) + 'cb')
leave = bytes.fromhex('4c89e4 415c c3')
for at, part in ((0, enter), (64, inside), (128, leave)): ctypes.memmove(low + at, part, len(part))
print(verdict_of_code(ctypes.CFUNCTYPE(ctypes.c_int)(low)()))""",
}
