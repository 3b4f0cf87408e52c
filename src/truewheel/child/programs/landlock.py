"""Let this process open nothing but what it is told: Landlock, by its system calls. Standard library only.

Linux has it from 5.13 on, where it is switched on; later versions know more rights, and each is used where it is there.
"""

import ctypes
import os
import stat
import struct

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_ASK_VERSION, _BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _MAKE_SYM = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12
_REFER, _TRUNCATE, _IOCTL = 1 << 13, 1 << 14, 1 << 15
_RIGHTS = (0, 0x1FFF, 0x3FFF, 0x7FFF, 0x7FFF, 0xFFFF)
"""All rights that a version knows; what is not given is refused."""
_BIND, _CONNECT = 1, 2
_WITH_NETWORK, _WITH_SCOPES = 4, 6
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2

_READING = _READ_FILE | _READ_DIR
_WRITING = _READING | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER | _TRUNCATE
"""No device, no named pipe and no socket is made."""
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL


def _names(text):
    return tuple(text.split())


SYSTEM = _names("""
/usr/lib /usr/lib32 /usr/lib64 /usr/libx32 /usr/local/lib /usr/local/lib64 /usr/share /lib /lib32 /lib64 /libx32
/etc/ld.so.cache /etc/ld.so.preload /etc/ld.so.conf /etc/ld.so.conf.d /etc/localtime /etc/timezone /etc/nsswitch.conf
/etc/passwd /etc/group /etc/hosts /etc/host.conf /etc/gai.conf /etc/mime.types /etc/os-release /etc/lsb-release
/etc/debian_version /etc/ssl/certs /etc/ssl/openssl.cnf /etc/pki/tls/certs /etc/pki/ca-trust /etc/OpenCL/vendors
/proc/cpuinfo /proc/meminfo /proc/stat /proc/uptime /proc/loadavg /proc/version /proc/filesystems /proc/vmstat
/proc/sys/vm /proc/sys/kernel/osrelease /proc/sys/kernel/ostype /proc/sys/kernel/version /proc/sys/kernel/pid_max
/proc/sys/kernel/ngroups_max /proc/sys/kernel/cap_last_cap /proc/sys/kernel/threads-max /proc/sys/fs/file-max
/sys/devices/system /sys/devices/cpu /sys/devices/cpu_core /sys/devices/cpu_atom /sys/kernel/mm /sys/fs/cgroup
/dev/urandom /dev/random /dev/zero
""")
"""What any program reads to start, to count cores and nodes and to know the time; no settings of a person."""
DEVICES = ("/dev/null", "/dev/full")


def version():
    """Return which version of Landlock there is; 0 for none."""
    found = _call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    return max(found, 0)


def restrict(readable, writable, programs=(), listening=False):
    """Give up every file but these; return the version that holds, and an empty text or why none does.

    readable: files and folders, read with all that is below.
    writable: folders, or files, to write in as well.
    programs: files that may be started, where the filter lets them.
    listening: keep the right to wait for connections.
    """
    known = version()
    if not known:
        return 0, "no Landlock: " + os.strerror(ctypes.get_errno())
    rights = _RIGHTS[min(known, len(_RIGHTS) - 1)]
    rules = _Rules(rights, _make_ruleset(known, rights, listening))
    if rules.descriptor < 0:
        return 0, "Landlock: " + os.strerror(ctypes.get_errno())
    for places, wanted in (
        (SYSTEM, _READING),
        (readable, _READING),
        (DEVICES, _READING | _WRITE_FILE),
        (writable, _WRITING),
        (programs, _READING | _EXECUTE),
    ):
        for place in places:
            rules.add(place, wanted)
    rules.add_own_process()
    _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    failed = _call(_RESTRICT, ctypes.c_int(rules.descriptor), ctypes.c_uint32(0))
    reason = "Landlock: " + os.strerror(ctypes.get_errno()) if failed else ""
    os.close(rules.descriptor)
    return (0, reason) if failed else (known, "")


def _make_ruleset(known, rights, listening):
    fields = [rights]
    if known >= _WITH_NETWORK:
        fields.append(_CONNECT if listening else _CONNECT | _BIND)
    if known >= _WITH_SCOPES:
        fields.append(_ABSTRACT_SOCKETS | _SIGNALS)
    data = struct.pack("=%dQ" % len(fields), *fields)
    return _call(_CREATE, ctypes.c_char_p(data), ctypes.c_size_t(len(data)), ctypes.c_uint32(0))


class _Rules:
    """A set of rules that is being made."""

    def __init__(self, rights, descriptor):
        self.rights = rights
        self.descriptor = descriptor

    def add(self, path, wanted):
        """Allow what is wanted at a path and below; what is not there needs no rule."""
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        self._allow(place, wanted)
        os.close(place)

    def add_own_process(self):
        """Allow /proc/self, which stays open: a folder of /proc that nobody holds is another one the next time."""
        try:
            self._allow(os.open("/proc/%d" % os.getpid(), os.O_PATH | os.O_CLOEXEC), _READING | _WRITE_FILE)
        except OSError:
            return

    def _allow(self, place, wanted):
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            wanted &= _OF_FILES
        data = struct.pack("=Qi", wanted & self.rights, place)
        _call(_ADD, ctypes.c_int(self.descriptor), ctypes.c_int(_BENEATH), ctypes.c_char_p(data), ctypes.c_uint32(0))


def _libc():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _call(number, *arguments):
    return _libc().syscall(ctypes.c_long(number), *arguments)
