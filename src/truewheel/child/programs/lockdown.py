"""Give up, for the rest of this process's life, what inference does not need. Standard library only.

A seccomp filter has what may be called, Landlock what may be opened, namespaces keep others out of sight, resource
limits bound CPU time, memory and file size. A call that reaches for more ends the process with SIGSYS, and the
traceback of the thread that made it is printed first.
"""

import ctypes
import faulthandler
import resource
import signal
import sys

from truewheel.child.programs import filters, landlock, spaces

_PR_SET_PDEATHSIG = 1
_OPEN_FILES = 256
_PROCESSES = 2048
FILTER, FILES = "filter", "files"
"""What a child can be asked not to run without."""


def limit(cpu_seconds, memory_bytes, file_bytes):
    """Bound CPU time, address space and the size of written files; forbid core dumps."""
    for kind, value in (
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
    ):
        _lower(kind, int(value))


def _lower(kind, value):
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    # SIGXCPU comes at the soft limit; at the hard one it would be SIGKILL, which tells nothing.
    later = value + 10 if kind == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY else value
    resource.setrlimit(kind, (value, later))


def confine():
    """Let this process compute on what it has open, and nothing else; return an empty text, or why not."""
    spaces.drop_capabilities()
    landlock.restrict((), ())
    return filters.install(filters.computing)


def forbid(program_name=0, listening=False):
    """Install the filter for every thread; return an empty text, or why it could not be done.

    program_name, listening: see filters.running.
    """
    faulthandler.register(signal.SIGSYS, file=sys.stderr, all_threads=True, chain=True)
    return filters.install(filters.running, listening, program_name)


def give_up(request, readable, program_name=0, programs=()):
    """Give up all that inference does not need; return an account of what is in force, and of what is not, and why.

    request: what the child was asked for.
    readable: what it may read besides the system's own libraries.
    program_name: see filters.running.
    programs: what that program is, and its loader.
    """
    _die_first()
    listening = request["listening"]
    names, alone = spaces.leave()
    if listening and not alone:
        alone = spaces.raise_loopback()
    capabilities = spaces.drop_capabilities()
    # It may be stopped, or run for an hour: it ends with whoever waits for it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    limit(request["cpu-seconds"], request["memory-bytes"], request["file-bytes"])
    if "user" in names:
        # Elsewhere it counts all that this person runs.
        _lower(resource.RLIMIT_NPROC, _PROCESSES)
    version, closed = landlock.restrict(readable, request["writable"], programs, listening)
    filtered = forbid(program_name, listening)
    missing = {FILTER: filtered, FILES: closed, "namespaces": alone}
    return {
        "filter": not filtered,
        "landlock": version,
        "namespaces": list(names),
        "capabilities": capabilities,
        "missing": {name: why for name, why in missing.items() if why},
    }


def lacks(account, request):
    """Return why a child must not run as it is; an empty text where all that is asked for is in force."""
    needed = [*request["required"], *(["namespaces"] if request["listening"] else [])]
    return "; ".join(account["missing"][name] for name in needed if name in account["missing"])


def _die_first():
    """Be the one that the system ends when there is no memory left, and not whoever waits for this process."""
    try:
        with open("/proc/self/oom_score_adj", "w") as stream:
            stream.write("1000")
    except OSError:
        return


def find_lock():
    """Return an empty text where a filter holds that was installed before this program began, or what is wrong.

    A guest of an emulator cannot install one, but its system calls are the emulator's, which is under it.
    """
    faulthandler.register(signal.SIGSYS, file=sys.stderr, all_threads=True, chain=True)
    with open("/proc/self/status") as stream:
        return "" if "\nSeccomp:\t2\n" in stream.read() else "no filter was installed before it began"
