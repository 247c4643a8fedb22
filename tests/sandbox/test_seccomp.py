"""The seccomp filter allows the listed calls and denies all others, as shown by a small BPF interpreter."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import struct

import pytest
from tapedeck.sandbox import seccomp

DENIED, ALLOWED = seccomp.DENY, seccomp.ALLOW
NO_SUCH_CALL = 0x00050000 | errno.ENOSYS
MODES = {"full": True, "nofiles": False}


def decide(program: bytes, machine: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """Return the decision of a filter for a call, as ``Documentation/networking/filter.rst`` defines it."""
    arch = seccomp.MACHINES[machine].audit if audit is None else audit
    words = [argument & (1 << 64) - 1 for argument in (*arguments, *[0] * (6 - len(arguments)))]
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *words)
    instructions = list(struct.iter_unpack("<HBBI", program))
    accumulator, counter = 0, 0
    while True:
        code, if_true, if_false, value = instructions[counter]
        counter += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x54:
            accumulator &= value
        elif code == 0x15:
            counter += if_true if accumulator == value else if_false
        elif code == 0x35:
            counter += if_true if accumulator >= value else if_false
        else:
            assert code == 0x06
            return value


@pytest.fixture(params=list(seccomp.MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def number(machine: str, name: str) -> int:
    return seccomp.MACHINES[machine].numbers[name]


def test_the_system_call_numbers_equal_those_of_libseccomp(machine: str) -> None:
    found = ctypes.util.find_library("seccomp")
    if found is None:
        pytest.skip("libseccomp is not installed")
    library = ctypes.CDLL(found)
    resolve = library.seccomp_syscall_resolve_name_arch
    resolve.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    audit, numbers = seccomp.MACHINES[machine]
    assert {name: resolve(audit, name.encode()) for name in numbers} == numbers


def test_every_allowed_call_has_a_number_on_some_machine() -> None:
    numbered = {name for machine in seccomp.MACHINES.values() for name in machine.numbers}
    assert numbered >= {*seccomp.COMPUTING, *seccomp.LOOKING}


@pytest.mark.parametrize("mode", MODES)
def test_only_listed_calls_are_allowed(machine: str, mode: str) -> None:
    program = seccomp.build_filter(machine, files=MODES[mode])
    numbers = seccomp.MACHINES[machine].numbers
    listed = {numbers[name] for name in (*seccomp.COMPUTING, *(seccomp.LOOKING if MODES[mode] else ())) if name in numbers}
    allowed = {call for call in range(1000) if decide(program, machine, call, *[1 << 40 | 0x407FF] * 6) == ALLOWED}
    assert allowed == listed


def test_a_call_of_another_architecture_fails_without_a_line_in_the_log(machine: str) -> None:
    program = seccomp.build_filter(machine, files=True)
    assert decide(program, machine, number(machine, "read"), audit=0x40000003) == NO_SUCH_CALL
    assert decide(program, machine, 0x40000000 | number(machine, "read")) == NO_SUCH_CALL
    assert decide(program, machine, -1) == NO_SUCH_CALL


@pytest.mark.parametrize("name", ["clock_gettime", "clock_getres", "clock_nanosleep"])
def test_only_the_clocks_of_the_machine_and_of_the_caller_are_allowed(machine: str, name: str) -> None:
    program = seccomp.build_filter(machine, files=True)
    clocks = range(-5000, 5000)
    assert [clock for clock in clocks if decide(program, machine, number(machine, name), clock) == ALLOWED] == [*range(8), 11]


def test_only_the_processors_of_the_caller_are_listed(machine: str) -> None:
    program = seccomp.build_filter(machine, files=True)
    call, own = number(machine, "sched_getaffinity"), seccomp._OWN_PID
    assert [pid for pid in (-1, 0, 1, 1000, own - 1, own) if decide(program, machine, call, pid) == ALLOWED] == [0, own]


def test_only_private_futexes_without_priority_inheritance_are_allowed(machine: str) -> None:
    program = seccomp.build_filter(machine, files=True)
    allowed = {kind for kind in range(1024) if decide(program, machine, number(machine, "futex"), 0x1000, kind) == ALLOWED}
    assert allowed == {128 | kind | clock for kind in (0, 1, 3, 4, 5, 9, 10) for clock in (0, 256)}


def test_only_harmless_advice_about_memory_is_allowed(machine: str) -> None:
    program = seccomp.build_filter(machine, files=True)
    call = number(machine, "madvise")
    allowed = {kind for kind in range(-1, 200) if decide(program, machine, call, 0x1000, 4096, kind) == ALLOWED}
    assert allowed == {0, 1, 2, 3, 4, 8, 14, 15, 16, 17}


def test_huge_pages_of_the_machine_cannot_be_mapped(machine: str) -> None:
    program = seccomp.build_filter(machine, files=True)
    call = number(machine, "mmap")
    assert decide(program, machine, call, 0, 4096, 3, 0x22) == ALLOWED
    assert decide(program, machine, call, 0, 4096, 3, 0x40022) == DENIED


def test_files_can_be_opened_for_reading_only(machine: str) -> None:
    program = seccomp.build_filter(machine, files=True)
    call = number(machine, "openat")
    assert decide(program, machine, call, -100, 1, 0) == ALLOWED
    assert decide(program, machine, call, -100, 1, 0o2000000) == ALLOWED  # close-on-exec
    for flags in (1, 2, 3, 0o100, 0o1000, 0o10000000, 0o20000000, 0o100 | 1 << 40):
        assert decide(program, machine, call, -100, 1, flags) == DENIED


def test_without_files_no_file_can_be_opened_or_tested(machine: str) -> None:
    program = seccomp.build_filter(machine, files=False)
    for name in ("open", "openat", *seccomp.LOOKING):
        if name in seccomp.MACHINES[machine].numbers:
            assert decide(program, machine, number(machine, name)) == DENIED


def test_a_process_can_signal_itself_only(machine: str) -> None:
    program = seccomp.build_filter(machine, files=True)
    own = seccomp._OWN_PID
    for name in ("kill", "tgkill"):
        assert decide(program, machine, number(machine, name), own, 9) == ALLOWED
        for pid in (0, 1, -1, -own, own + 1):
            assert decide(program, machine, number(machine, name), pid, 9) == DENIED


def test_a_process_can_read_its_own_limits_but_not_set_them(machine: str) -> None:
    program = seccomp.build_filter(machine, files=True)
    call = number(machine, "prlimit64")
    assert decide(program, machine, call, 0, 3, 0, 0x7F0000000000) == ALLOWED
    assert decide(program, machine, call, 0, 3, 0x7F0000000000, 0) == DENIED  # only the lower half is zero
    assert decide(program, machine, call, 0, 3, 8, 0) == DENIED
    assert decide(program, machine, call, 1, 3, 0, 0x7F0000000000) == DENIED


def test_descriptors_can_be_duplicated_but_cannot_send_signals(machine: str) -> None:
    program = seccomp.build_filter(machine, files=True)
    call = number(machine, "fcntl")
    allowed = {command for command in range(2000) if decide(program, machine, call, 4, command) == ALLOWED}
    assert allowed == {0, 1, 2, 3, 1030}


def test_clone3_fails_with_enosys(machine: str) -> None:
    assert decide(seccomp.build_filter(machine, files=True), machine, 435) == NO_SUCH_CALL


def test_an_unknown_machine_has_no_filter() -> None:
    with pytest.raises(KeyError):
        seccomp.build_filter("riscv64", files=True)
