"""The system calls of x86-64 Linux: what becomes of each in a child that runs an engine, and their numbers.

What is in no list is refused with "not permitted".
"""

ARCHITECTURE = 0xC000003E
SELF = "self"
"""In place of a value: the number of this process."""


def _names(text):
    return tuple(text.split())


FREQUENT = ("futex", "sched_yield", "read", "write", "madvise", "mmap", "munmap")
"""What is looked at first: threads that wait for each other, memory, files."""

ALLOWED = _names("""
futex sched_yield read write madvise mmap munmap close fstat lseek mprotect brk rt_sigprocmask rt_sigreturn pread64
pwrite64 readv writev preadv pwritev preadv2 pwritev2 access faccessat faccessat2 stat lstat newfstatat statx readlink
readlinkat getdents getdents64 getcwd chdir fchdir statfs fstatfs dup dup2 dup3 pipe pipe2 poll ppoll select pselect6
epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2 timerfd_create
timerfd_settime timerfd_gettime signalfd signalfd4 flock fsync fdatasync sync_file_range ftruncate fallocate fadvise64
readahead sendfile copy_file_range splice rename renameat renameat2 mkdir mkdirat rmdir creat unlink unlinkat symlink
symlinkat umask rt_sigaction rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause nanosleep clock_nanosleep
clock_gettime clock_getres gettimeofday time times alarm getitimer setitimer timer_create timer_settime timer_gettime
timer_getoverrun timer_delete mremap msync mincore mlock mlock2 munlock mlockall munlockall mseal pkey_alloc pkey_free
pkey_mprotect map_shadow_stack get_mempolicy set_mempolicy mbind set_mempolicy_home_node cachestat set_tid_address
set_robust_list get_robust_list rseq membarrier futex_waitv futex_wake futex_wait futex_requeue getcpu
sched_getaffinity sched_getparam sched_getscheduler sched_getattr sched_get_priority_max sched_get_priority_min
sched_rr_get_interval getpriority getpid gettid getppid getpgrp getpgid getsid getuid geteuid getgid getegid getgroups
getresuid getresgid capget uname sysinfo getrlimit getrusage setrlimit arch_prctl getrandom wait4 waitid
restart_syscall close_range exit exit_group recvfrom recvmsg sendto sendmsg shutdown getsockopt setsockopt getsockname
getpeername
""")
"""What an inference in Python may do: files are a matter of Landlock, and the only sockets are pairs of its own."""

ABSENT = _names("""
clone3 openat2 memfd_create memfd_secret landlock_create_ruleset
""")
"""Answered with "not there", so that the C library falls back to what can be looked at."""

PRETENDED = _names("""
chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat
""")
"""Answered with success and not done: copying a file sets modes and times, and Landlock does not look at them."""

TRAPPED = _names("""
fork vfork execve execveat ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd pidfd_send_signal
""")
"""End the process, after Python has printed where: what starts a process, or reaches for another one."""

KILLED = _names("""
process_madvise process_mrelease kcmp mount umount2 pivot_root chroot open_tree open_tree_attr move_mount fsopen
fsconfig fsmount fspick mount_setattr unshare setns bpf keyctl add_key request_key userfaultfd init_module
finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff iopl ioperm acct settimeofday
clock_settime open_by_handle_at quotactl quotactl_fd modify_ldt seccomp
""")
"""End the process at once: no engine needs them, and each is a way out."""

LISTENING = _names("""
bind listen accept accept4
""")
"""Besides, for an engine that starts a server in a network of its own."""

ALLOW, TRAP, KILL = 0x7FFF0000, 0x00030000, 0x80000000
EPERM, ENOTTY, ENOSYS = 0x00050001, 0x00050019, 0x00050026
PRETEND = 0x00050000
EVERY = 0xFFFFFFFF

_THREAD, _NEW = 0x00010000, 0x7E022000
_TRUNCATE, _WRITING = 0o1000, 3
_OWN_OR_LATER = ((0, EVERY, "=", (0,), ALLOW), (0, EVERY, ">=", (SELF,), ALLOW))
"""Threads of this process have later numbers than it has; whoever waits for it has an earlier one."""

LOOKED_AT = {
    # Threads, and no process or namespace.
    "clone": (((0, _THREAD | _NEW, "=", (_THREAD,), ALLOW),), TRAP),
    # Without the right to truncate in older Landlocks, one that only reads could.
    "open": (((1, _TRUNCATE | _WRITING, "=", (_TRUNCATE,), EPERM),), ALLOW),
    "openat": (((2, _TRUNCATE | _WRITING, "=", (_TRUNCATE,), EPERM),), ALLOW),
    # Whether another process is there is asked without a signal.
    "kill": (((0, EVERY, "=", (SELF,), ALLOW), (1, EVERY, "=", (0,), EPERM)), TRAP),
    "tkill": (((0, EVERY, "=", (SELF,), ALLOW),), TRAP),
    "tgkill": (((0, EVERY, "=", (SELF,), ALLOW),), TRAP),
    "rt_sigqueueinfo": (((0, EVERY, "=", (SELF,), ALLOW),), TRAP),
    "rt_tgsigqueueinfo": (((0, EVERY, "=", (SELF,), ALLOW),), TRAP),
    "sched_setaffinity": (_OWN_OR_LATER, EPERM),
    "sched_setscheduler": (_OWN_OR_LATER, EPERM),
    "sched_setparam": (_OWN_OR_LATER, EPERM),
    "prlimit64": (((0, EVERY, "=", (0, SELF), ALLOW),), EPERM),
    # The window's size, whether it is a terminal, what waits, and to wait or not.
    "ioctl": (((1, EVERY, "=", (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x802C542A), ALLOW),), ENOTTY),
    # Not whom a file sends signals to.
    "fcntl": (((1, EVERY, "=", (8, 10, 15, 1026), EPERM),), ALLOW),
    # Names, timer slack, huge pages and what is only asked; 0x53564D41 names memory.
    "prctl": (
        ((0, EVERY, "=", (2, 3, 15, 16, 21, 23, 27, 29, 30, 38, 39, 41, 42, 0x53564D41, 0x41555856), ALLOW),),
        EPERM,
    ),
    # Name services try a local socket before they read files; told no, they go on.
    "socket": (((0, EVERY, "=", (1,), EPERM),), TRAP),
    # A pair of streams is connected for good; a pair of datagrams could write to anybody.
    "socketpair": (((0, EVERY, "=", (1,), None), (1, 0xF, "=", (1,), ALLOW)), EPERM),
}
"""By what is asked: tests in order, each an argument, a mask, how it is compared, values, and what follows when one of
them is met; then what follows when none is. A test without what follows must be met, or the last holds."""

LISTENING_LOOKED_AT = {
    "socket": (((0, EVERY, "=", (2,), ALLOW), (0, EVERY, "=", (1,), EPERM)), TRAP),
    "sendto": ((), EPERM),
    "sendmsg": ((), EPERM),
}

COMPUTING = _names("""
read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn pread64 sched_yield
mremap madvise getpid exit gettimeofday getrusage sigaltstack gettid futex clock_gettime clock_nanosleep exit_group
set_robust_list getrandom membarrier rseq
""")
"""All that a process may do that computes on files that are open already, besides fstat by its other name."""
COMPUTING_LOOKED_AT = {"newfstatat": (((3, EVERY, "=", (0x1000,), ALLOW),), EPERM)}

NUMBERS = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8, "mmap": 9,
    "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "ioctl": 16, "pread64": 17, "pwrite64": 18, "readv": 19, "writev": 20, "access": 21, "pipe": 22, "select": 23,
    "sched_yield": 24, "mremap": 25, "msync": 26, "mincore": 27, "madvise": 28, "dup": 32, "dup2": 33, "pause": 34,
    "nanosleep": 35, "getitimer": 36, "alarm": 37, "setitimer": 38, "getpid": 39, "sendfile": 40, "socket": 41,
    "connect": 42, "accept": 43, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47, "shutdown": 48,
    "bind": 49, "listen": 50, "getsockname": 51, "getpeername": 52, "socketpair": 53, "setsockopt": 54,
    "getsockopt": 55, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "exit": 60, "wait4": 61, "kill": 62,
    "uname": 63, "fcntl": 72, "flock": 73, "fsync": 74, "fdatasync": 75, "ftruncate": 77, "getdents": 78,
    "getcwd": 79, "chdir": 80, "fchdir": 81, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "unlink": 87,
    "symlink": 88, "readlink": 89, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "umask": 95,
    "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99, "times": 100, "ptrace": 101, "getuid": 102,
    "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110, "getpgrp": 111, "getgroups": 115, "getresuid": 118,
    "getresgid": 120, "getpgid": 121, "getsid": 124, "capget": 125, "rt_sigpending": 127, "rt_sigtimedwait": 128,
    "rt_sigqueueinfo": 129, "rt_sigsuspend": 130, "sigaltstack": 131, "utime": 132, "statfs": 137, "fstatfs": 138,
    "getpriority": 140, "sched_setparam": 142, "sched_getparam": 143, "sched_setscheduler": 144,
    "sched_getscheduler": 145, "sched_get_priority_max": 146, "sched_get_priority_min": 147,
    "sched_rr_get_interval": 148, "mlock": 149, "munlock": 150, "mlockall": 151, "munlockall": 152, "modify_ldt": 154,
    "pivot_root": 155, "prctl": 157, "arch_prctl": 158, "setrlimit": 160, "chroot": 161, "acct": 163,
    "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "iopl": 172,
    "ioperm": 173, "init_module": 175, "delete_module": 176, "quotactl": 179, "gettid": 186, "readahead": 187,
    "tkill": 200, "time": 201, "futex": 202, "sched_setaffinity": 203, "sched_getaffinity": 204, "epoll_create": 213,
    "getdents64": 217, "set_tid_address": 218, "restart_syscall": 219, "fadvise64": 221, "timer_create": 222,
    "timer_settime": 223, "timer_gettime": 224, "timer_getoverrun": 225, "timer_delete": 226, "clock_settime": 227,
    "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "epoll_wait": 232,
    "epoll_ctl": 233, "tgkill": 234, "utimes": 235, "mbind": 237, "set_mempolicy": 238, "get_mempolicy": 239,
    "kexec_load": 246, "waitid": 247, "add_key": 248, "request_key": 249, "keyctl": 250, "openat": 257,
    "mkdirat": 258, "fchownat": 260, "futimesat": 261, "newfstatat": 262, "unlinkat": 263, "renameat": 264,
    "symlinkat": 266, "readlinkat": 267, "fchmodat": 268, "faccessat": 269, "pselect6": 270, "ppoll": 271,
    "unshare": 272, "set_robust_list": 273, "get_robust_list": 274, "splice": 275, "sync_file_range": 277,
    "utimensat": 280, "epoll_pwait": 281, "signalfd": 282, "timerfd_create": 283, "eventfd": 284, "fallocate": 285,
    "timerfd_settime": 286, "timerfd_gettime": 287, "accept4": 288, "signalfd4": 289, "eventfd2": 290,
    "epoll_create1": 291, "dup3": 292, "pipe2": 293, "preadv": 295, "pwritev": 296, "rt_tgsigqueueinfo": 297,
    "prlimit64": 302, "open_by_handle_at": 304, "sendmmsg": 307, "setns": 308, "getcpu": 309, "process_vm_readv": 310,
    "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "sched_getattr": 315, "renameat2": 316,
    "seccomp": 317, "getrandom": 318, "memfd_create": 319, "kexec_file_load": 320, "bpf": 321, "execveat": 322,
    "userfaultfd": 323, "membarrier": 324, "mlock2": 325, "copy_file_range": 326, "preadv2": 327, "pwritev2": 328,
    "pkey_mprotect": 329, "pkey_alloc": 330, "pkey_free": 331, "statx": 332, "rseq": 334, "pidfd_send_signal": 424,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "pidfd_open": 434, "clone3": 435, "close_range": 436, "openat2": 437, "pidfd_getfd": 438, "faccessat2": 439,
    "process_madvise": 440, "epoll_pwait2": 441, "mount_setattr": 442, "quotactl_fd": 443,
    "landlock_create_ruleset": 444, "memfd_secret": 447, "process_mrelease": 448, "futex_waitv": 449,
    "set_mempolicy_home_node": 450, "cachestat": 451, "fchmodat2": 452, "map_shadow_stack": 453, "futex_wake": 454,
    "futex_wait": 455, "futex_requeue": 456, "mseal": 462, "open_tree_attr": 467,
}  # fmt: skip
