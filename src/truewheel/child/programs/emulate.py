"""Become an emulator that runs a program on another CPU; and, inside of it, look at that CPU and try its limits.

The request is a file on standard input, which both read. The process gives up what inference does not need, which no
guest of the emulator could do, and then becomes the emulator.
"""

import ctypes
import json
import mmap
import os
import signal
import sys

_FILTER_OFF_EXIT = 97
_NOT_FOUND_EXIT = 127
_LOADERS = ("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-x86-64.so.2")

_CPUID = "53 4989d0 89f8 89f1 0fa2 418900 41895804 41894808 4189500c 5b c3"
"""push rbx; mov r8, rdx; mov eax, edi; mov ecx, esi; cpuid; its four registers to [r8]; pop rbx; ret"""
_XGETBV = "31c9 0f01d0 48c1e220 4809d0 c3"
"""xor ecx, ecx; xgetbv; rax = rdx << 32 | rax; ret"""
_RET = "c3"


def _function(code, result, *arguments):
    """Return a function of this machine code, and the page that holds it."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex(code))
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(result, *arguments)(address), page


def read_features(table):
    """Return the features of a table that this CPU has and the system has enabled, sorted.

    table: by name, where CPUID shows each: leaf, subleaf, register, bit, and the bits of XCR0 that it needs.
    """
    call, _page = _function(_CPUID, None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)
    state, _other = _function(_XGETBV, ctypes.c_uint64)

    def cpuid(leaf, subleaf):
        registers = (ctypes.c_uint32 * 4)()
        call(leaf, subleaf, registers)
        return tuple(registers)

    highest = {0: cpuid(0, 0)[0], 0x80000000: cpuid(0x80000000, 0)[0]}
    enabled = state() if cpuid(1, 0)[2] >> 27 & 1 else 0
    found = []
    for name, (leaf, subleaf, register, bit, needed) in table.items():
        known = leaf <= highest[leaf & 0x80000000] and (not subleaf or subleaf <= cpuid(leaf, 0)[0])
        if known and cpuid(leaf, subleaf)[register] >> bit & 1 and enabled & needed == needed:
            found.append(name)
    return sorted(found)


def run_canary(code):
    """Run one instruction, given as hexadecimal digits, from a page of its own; on a CPU without it we die of it."""
    call, _page = _function(code + _RET, None)
    # Whatever the package made of the signal: now it ends this process, silently.
    signal.signal(signal.SIGILL, signal.SIG_DFL)
    call()


def become(request, lockdown, readable):
    """Lock this process down, and let it become the emulator, whose guest reads the same request."""
    os.lseek(sys.stdin.fileno(), 0, os.SEEK_SET)
    emulator, *arguments = request["emulated"]["command"]
    name = ctypes.create_string_buffer(os.fsencode(emulator))
    account = lockdown.give_up(request, readable, ctypes.addressof(name), (emulator, *_LOADERS))
    reason = lockdown.lacks(account, request)
    if reason:
        with open(request["events"], "w") as events:
            events.write(json.dumps({"step": "lock", "state": "failed", "reason": reason, "facts": account}) + "\n")
        sys.exit(_FILTER_OFF_EXIT)
    command = [os.fsencode(part) for part in (emulator, *arguments, json.dumps(account))]
    variables = [os.fsencode("%s=%s" % pair) for pair in os.environ.items()]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.execve(
        name,
        (ctypes.c_char_p * (len(command) + 1))(*command, None),
        (ctypes.c_char_p * (len(variables) + 1))(*variables, None),
    )
    sys.stderr.write("%s: %s\n" % (request["emulated"]["command"][0], os.strerror(ctypes.get_errno())))
    sys.exit(_NOT_FOUND_EXIT)
