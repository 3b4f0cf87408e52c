"""Refuse, in words, a CPU that this wheel was not made for, before any of its instructions can fault.

Written by truewheel; standard library only. The table below comes from the build's plan.
"""

import ctypes
import os

REQUIREMENTS = ()  # truewheel fills this in: (name, leaf, subleaf, register, bit, state)
MADE_FOR = ""
ADVICE = ""


def missing_features(cpuid, xcr0):
    """Return the names of the required features that this CPU lacks or its system has not enabled.

    cpuid(leaf, subleaf) returns eax, ebx, ecx, edx; xcr0() returns the register's value.
    """
    highest = {0: cpuid(0, 0)[0], 0x80000000: cpuid(0x80000000, 0)[0]}
    saves = bool(cpuid(1, 0)[2] >> 27 & 1)  # OSXSAVE: the system manages extended registers
    state = xcr0() if saves else 0
    results = {}
    missing = []
    for name, leaf, subleaf, register, bit, needed in REQUIREMENTS:
        present = leaf <= highest[leaf & 0x80000000]
        if present and subleaf:
            present = subleaf <= cpuid(leaf, 0)[0]
        if present:
            if (leaf, subleaf) not in results:
                results[leaf, subleaf] = cpuid(leaf, subleaf)
            present = bool(results[leaf, subleaf][register] >> bit & 1) and state & needed == needed
        if not present:
            missing.append(name)
    return missing


def _read_cpu():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_truewheel_cpuid.so")
    library = ctypes.CDLL(path)
    library.truewheel_cpuid.restype = None
    library.truewheel_xcr0.restype = ctypes.c_uint64

    def cpuid(leaf, subleaf):
        result = (ctypes.c_uint32 * 4)()
        library.truewheel_cpuid(ctypes.c_uint32(leaf), ctypes.c_uint32(subleaf), result)
        return tuple(result)

    return missing_features(cpuid, library.truewheel_xcr0)


def check():
    """Raise ImportError with one sentence unless this CPU has every required feature."""
    missing = _read_cpu()
    if missing:
        raise ImportError(
            "this wheel was built for %s and this CPU lacks %s: %s" % (MADE_FOR, ", ".join(missing), ADVICE)
        )


check()
