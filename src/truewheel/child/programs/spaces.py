"""Leave the namespaces of everybody else, and give up what root may do. Standard library only."""

import ctypes
import fcntl
import os
import socket
import struct

_USER, _NETWORK, _IPC = 0x10000000, 0x40000000, 0x08000000
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1
_CAPSET, _CAPABILITIES_3 = 126, 0x20080522
_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _CLEAR_ALL = 24, 47, 4
_MOST_CAPABILITIES = 64


def leave():
    """Move into namespaces where nobody else is; return their names, and an empty text or why there are none.

    To be called before there are threads. Whoever is not root needs a user namespace for it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_NETWORK | _IPC) == 0:
        return ("network", "ipc"), ""
    # Root would be nobody in there, unless it may say who it is.
    if user != 0 and libc.unshare(_USER | _NETWORK | _IPC) == 0:
        _write_own("setgroups", "deny")
        _write_own("uid_map", "%d %d 1" % (user, user))
        _write_own("gid_map", "%d %d 1" % (group, group))
        return ("user", "network", "ipc"), ""
    return (), "no namespaces: " + os.strerror(ctypes.get_errno())


def _write_own(name, text):
    with open("/proc/self/" + name, "w") as stream:
        stream.write(text)


def raise_loopback():
    """Let a server listen in a network of its own; return an empty text, or why it cannot."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            # struct ifreq: a name of 16 bytes, the flags, room for the largest member.
            asked = struct.pack("=16sh22x", b"lo", 0)
            flags = struct.unpack("=16sh22x", fcntl.ioctl(control, _GET_FLAGS, asked))[1]
            fcntl.ioctl(control, _SET_FLAGS, struct.pack("=16sh22x", b"lo", flags | _UP))
    except OSError as error:
        return "its loopback cannot be used: " + (error.strerror or str(error))
    return ""


def drop_capabilities():
    """Give up all capabilities for good; return whether none is left."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_MOST_CAPABILITIES):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    head = struct.pack("=Ii", _CAPABILITIES_3, 0)
    libc.syscall(ctypes.c_long(_CAPSET), ctypes.c_char_p(head), ctypes.c_char_p(bytes(24)))
    with open("/proc/self/status") as stream:
        held = [line.split()[1] for line in stream if line.startswith(("CapInh:", "CapPrm:", "CapEff:", "CapAmb:"))]
    return bool(held) and not any(int(value, 16) for value in held)
