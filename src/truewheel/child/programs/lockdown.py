"""Give up, for the rest of this process's life, what inference does not need. Standard library only.

A seccomp filter (Linux, x86-64) forbids new processes and programs, sockets and tracing; resource limits
bound CPU time, memory and file size. A forbidden call ends the process with SIGSYS, and the traceback
of the thread that made it is printed first.
"""

import ctypes
import faulthandler
import fcntl
import os
import resource
import signal
import socket
import struct
import sys

_PR_SET_NO_NEW_PRIVS = 38
_SYS_SECCOMP = 317
_SECCOMP_SET_MODE_FILTER = 1
_FILTER_FLAG_TSYNC = 1

_ALLOW = 0x7FFF0000
_TRAP = 0x00030000
_KILL = 0x80000000
_ERRNO = 0x00050000
_EPERM, _ENOSYS = 1, 38

_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_CLONE_THREAD = 0x00010000
_AF_UNIX = 1
_AF_INET = 2
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1

_SYSCALLS = {
    "socket": 41, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "ptrace": 101,
    "execveat": 322, "process_vm_readv": 310, "process_vm_writev": 311, "bpf": 321,
    "io_uring_setup": 425, "clone3": 435, "mount": 165, "unshare": 272, "setns": 308,
    "connect": 42, "sendto": 44, "sendmsg": 46, "sendmmsg": 307,
}  # fmt: skip

_COMPUTING = (
    0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 17, 24, 25, 28, 39, 60, 96, 98, 131, 186, 202, 228, 230, 231,
    273, 318, 324, 334,
)  # fmt: skip
"""read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn pread64 sched_yield
mremap madvise getpid exit gettimeofday getrusage sigaltstack gettid futex clock_gettime clock_nanosleep exit_group
set_robust_list getrandom membarrier rseq: what a process needs to compute on files that are open already."""

_SYS_NEWFSTATAT, _AT_EMPTY_PATH = 262, 0x1000
_LOAD_NUMBER, _LOAD_ARCH, _LOAD_ARGUMENT_0, _LOAD_ARGUMENT_0_HIGH, _LOAD_ARGUMENT_3 = 0, 4, 16, 20, 40
_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06


def _instruction(code, value, if_true=0, if_false=0):
    return struct.pack("=HBBI", code, if_true, if_false, value)


def build_filter(program_name=0, listening=False):
    """Return the filter program as bytes; each rule is a comparison followed by what it leads to.

    program_name: the address of the one text whose program may still be started in place of this one.
    listening: let it open Internet sockets and wait on them for connections, but neither connect nor send to anybody:
        for an engine that starts a server before it does anything else. See leave_network.
    """
    program = [
        _instruction(_LD, _LOAD_ARCH),
        _instruction(_JEQ, _AUDIT_ARCH_X86_64, 1, 0),
        _instruction(_RET, _KILL),
        _instruction(_LD, _LOAD_NUMBER),
        _instruction(_JGE, _X32_BIT, 0, 1),
        _instruction(_RET, _KILL),
    ]

    def when(name, *body):
        program.append(_instruction(_JEQ, _SYSCALLS[name], 0, len(body)))
        program.extend(body)

    if program_name:
        # The address is random, unknown to the program that is started, and no text of it is there.
        when(
            "execve",
            _instruction(_LD, _LOAD_ARGUMENT_0),
            _instruction(_JEQ, program_name & 0xFFFFFFFF, 0, 3),
            _instruction(_LD, _LOAD_ARGUMENT_0_HIGH),
            _instruction(_JEQ, program_name >> 32, 0, 1),
            _instruction(_RET, _ALLOW),
            _instruction(_RET, _TRAP),
        )
    for name in ("fork", "vfork", "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev"):
        when(name, _instruction(_RET, _TRAP))
    for name in ("bpf", "io_uring_setup", "mount", "unshare", "setns"):
        when(name, _instruction(_RET, _ERRNO | _EPERM))
    # The C library falls back to clone, whose flags can be looked at.
    when("clone3", _instruction(_RET, _ERRNO | _ENOSYS))
    when(
        "clone",
        _instruction(_LD, _LOAD_ARGUMENT_0),
        _instruction(_JSET, _CLONE_THREAD, 0, 1),
        _instruction(_RET, _ALLOW),
        _instruction(_RET, _TRAP),
    )
    if listening:
        for name in ("connect", "sendto", "sendmsg", "sendmmsg"):
            when(name, _instruction(_RET, _ERRNO | _EPERM))
        when(
            "socket",
            _instruction(_LD, _LOAD_ARGUMENT_0),
            _instruction(_JEQ, _AF_INET, 0, 1),
            _instruction(_RET, _ALLOW),
            _instruction(_LD, _LOAD_NUMBER),
        )
    # Name services try a local socket before they read files; told no, they go on.
    when(
        "socket",
        _instruction(_LD, _LOAD_ARGUMENT_0),
        _instruction(_JEQ, _AF_UNIX, 0, 1),
        _instruction(_RET, _ERRNO | _EPERM),
        _instruction(_RET, _TRAP),
    )
    program.append(_instruction(_RET, _ALLOW))
    return b"".join(program)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def limit(cpu_seconds, memory_bytes, file_bytes):
    """Bound CPU time, address space and the size of written files; forbid core dumps."""
    for kind, value in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
    ):
        hard = resource.getrlimit(kind)[1]
        value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        # SIGXCPU comes at the soft limit; at the hard one it would be SIGKILL, which tells nothing.
        later = value + 10 if kind == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY else value
        resource.setrlimit(kind, (value, later))


def build_confinement():
    """Return the filter program that lets a process compute, and refuses everything else with EPERM."""
    program = [
        _instruction(_LD, _LOAD_ARCH),
        _instruction(_JEQ, _AUDIT_ARCH_X86_64, 1, 0),
        _instruction(_RET, _KILL),
        _instruction(_LD, _LOAD_NUMBER),
    ]
    for number in _COMPUTING:
        program.append(_instruction(_JEQ, number, 0, 1))
        program.append(_instruction(_RET, _ALLOW))
    # The C library's fstat: an open file, no path.
    program.append(_instruction(_JEQ, _SYS_NEWFSTATAT, 0, 3))
    program.append(_instruction(_LD, _LOAD_ARGUMENT_3))
    program.append(_instruction(_JEQ, _AT_EMPTY_PATH, 0, 1))
    program.append(_instruction(_RET, _ALLOW))
    program.append(_instruction(_RET, _ERRNO | _EPERM))
    return b"".join(program)


def confine():
    """Let this process compute on what it has open, and nothing else; return an empty text, or why not."""
    return _install(build_confinement())


def forbid(program_name=0, listening=False):
    """Install the filter for every thread; return an empty text, or why it could not be done.

    program_name, listening: see build_filter.
    """
    faulthandler.register(signal.SIGSYS, file=sys.stderr, all_threads=True, chain=True)
    return _install(build_filter(program_name, listening))


def leave_network():
    """Move this process into a network of its own, where nobody else is; return an empty text, or why it cannot.

    Its loopback is there, so that a server can listen on it. To be called before there are threads.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK) != 0 and libc.unshare(_NEW_NETWORK | _NEW_USER) != 0:
        return "no network of its own: " + os.strerror(ctypes.get_errno())
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            # struct ifreq: a name of 16 bytes, the flags, room for the largest member.
            asked = struct.pack("=16sh22x", b"lo", 0)
            flags = struct.unpack("=16sh22x", fcntl.ioctl(control, _GET_FLAGS, asked))[1]
            fcntl.ioctl(control, _SET_FLAGS, struct.pack("=16sh22x", b"lo", flags | _UP))
    except OSError as error:
        return "its loopback cannot be used: " + (error.strerror or str(error))
    return ""


def find_lock():
    """Return an empty text where a filter holds that was installed before this program began, or what is wrong.

    A guest of an emulator cannot install one, but its system calls are the emulator's, which is under it.
    """
    faulthandler.register(signal.SIGSYS, file=sys.stderr, all_threads=True, chain=True)
    with open("/proc/self/status") as stream:
        return "" if "\nSeccomp:\t2\n" in stream.read() else "no filter was installed before it began"


def _install(code):
    if os.uname().machine != "x86_64":
        return "no filter is written for " + os.uname().machine
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return "no_new_privs: " + os.strerror(ctypes.get_errno())
    libc.syscall.restype = ctypes.c_long
    if libc.syscall(_SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, _FILTER_FLAG_TSYNC, ctypes.byref(program)) != 0:
        return "seccomp: " + os.strerror(ctypes.get_errno())
    return ""
