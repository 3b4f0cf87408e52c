"""How many threads fit here: the physical cores that affinity and control groups leave.

truewheel asks it, and every wheel has a copy of this very file: standard library only, quick to import, and quick to
run, because it is asked whenever a model is loaded.
"""

from __future__ import annotations

import os
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_BYTES = 4 << 20
_MOST_DIGITS = 15
_MOST_CPUS = 1 << 16
_PERFORMANCE = 0.8
"""A performance core has at least this share of the best one's capacity: boost clocks differ by less, kinds by more."""
_V1_PLACES = ("cpu", "cpu,cpuacct", "cpuacct,cpu")
_V2_PLACES = ("", "unified")


class Threads(NamedTuple):
    """How many threads an engine takes when nobody says.

    Attributes:
        decode: for one token at a time.
        prompt: for a prompt.
        reason: a sentence.
    """

    decode: int
    prompt: int
    reason: str


def fit_threads(cpus: Iterable[int] | None = None, *, proc: str = "/proc", sys: str = "/sys") -> Threads:
    """Return how many threads are best for decoding and for prompts, and why.

    One for each physical core, because the hardware threads of a core share the units that matrices keep busy; no more
    than whole CPUs in the quota of a control group, because all threads of a step wait for the one that is stopped;
    and for decoding performance cores alone, because the others hold them up.

    Args:
        cpus: what may be used; None asks the kernel.
        proc: where /proc is.
        sys: where /sys is.
    """
    usable = usable_cpus(cpus, proc=proc, sys=sys)
    cores = physical_cores(usable, proc=proc, sys=sys)
    fast = _performance_cores(cores, sys)
    quota = cpu_quota(proc=proc, sys=sys)
    most = len(cores) if quota is None else max(1, int(quota))
    reason = [f"{_count(len(cores), 'physical core')} of {_count(len(usable), 'usable CPU')}"]
    if len(fast) < len(cores):
        reason.append(f"decoding on {_count(len(fast), 'performance core')} alone")
    if quota is not None:
        reason.append(f"a control group allows {quota:.4g} CPUs")
    return Threads(min(len(fast), most), min(len(cores), most), "; ".join(reason))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


# CPUs


def usable_cpus(cpus: Iterable[int] | None = None, *, proc: str = "/proc", sys: str = "/sys") -> list[int]:
    """Return the CPUs that the calling thread may run on, or those of `cpus` that are online; at least one."""
    if cpus is None and hasattr(os, "sched_getaffinity") and proc == "/proc":
        return sorted(os.sched_getaffinity(0))  # of those that are online, by the kernel's promise
    online = read_list(_read(f"{sys}/devices/system/cpu/online"))
    allowed = set(_allowed(proc) if cpus is None else cpus) or set(online)
    return sorted(allowed & set(online)) or sorted(allowed) or list(range(os.cpu_count() or 1))


def _allowed(proc: str) -> list[int]:
    for line in _read(f"{proc}/self/status").splitlines():
        if line.startswith("Cpus_allowed_list:"):
            return read_list(line.partition(":")[2])
    return []


def physical_cores(cpus: Iterable[int], *, proc: str = "/proc", sys: str = "/sys") -> list[list[int]]:
    """Return the CPUs by the cores that they are hardware threads of; each by itself where nobody knows."""
    wanted = set(cpus)
    left, cores = sorted(wanted), []
    by_number = None
    while left:
        cpu = left[0]
        siblings = _siblings(cpu, sys)
        if not siblings:
            if by_number is None:
                by_number = _cores_of_cpuinfo(proc)
            siblings = by_number.get(cpu, {cpu})
        core = sorted(siblings & set(left)) or [cpu]
        cores.append(core)
        left = [other for other in left if other not in core]
    return cores


def _siblings(cpu: int, sys: str) -> set[int]:
    for name in ("core_cpus_list", "thread_siblings_list"):
        found = set(read_list(_read(f"{sys}/devices/system/cpu/cpu{cpu}/topology/{name}")))
        if cpu in found:
            return found
    return set()


def _cores_of_cpuinfo(proc: str) -> dict[int, set[int]]:
    """Return the hardware threads of each CPU's core as /proc/cpuinfo has them."""
    names: dict[int, tuple[str, str]] = {}
    for block in _read(f"{proc}/cpuinfo").split("\n\n"):
        fields = {}
        for line in block.splitlines():
            key, _, value = line.partition(":")
            fields[key.strip()] = value.strip()
        cpu = _number(fields.get("processor", ""))
        if cpu is not None and "core id" in fields:
            names[cpu] = (fields.get("physical id", "0"), fields["core id"])
    return {cpu: {other for other, name in names.items() if name == mine} for cpu, mine in names.items()}


def _performance_cores(cores: list[list[int]], sys: str) -> list[list[int]]:
    """Return the performance cores where there are others besides; all cores where fewer than two are.

    One core alone does not fill the memory's bandwidth, whatever the others are.
    """
    fast = _cores_of_intel(cores, sys)
    if fast is None:
        fast = _cores_by_capacity(cores, sys)
    return fast if len(fast) > 1 else cores


def _cores_of_intel(cores: list[list[int]], sys: str) -> list[list[int]] | None:
    fast = set(read_list(_read(f"{sys}/devices/cpu_core/cpus")))
    slow = set(read_list(_read(f"{sys}/devices/cpu_atom/cpus")))
    return [core for core in cores if fast & set(core)] if fast and slow else None


def _cores_by_capacity(cores: list[list[int]], sys: str) -> list[list[int]]:
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        capacities = [_number(_read(f"{sys}/devices/system/cpu/cpu{core[0]}/{name}")) for core in cores]
        known = [capacity for capacity in capacities if capacity]
        if known and len(known) == len(cores):
            best = max(known)
            return [core for core, capacity in zip(cores, known) if capacity >= best * _PERFORMANCE]  # noqa: B905 -- new in 3.10
    return cores


# Control groups


def count_usable(cpus: Iterable[int] | None = None, *, proc: str = "/proc", sys: str = "/sys") -> int:
    """Return how many CPUs affinity and control groups leave, hardware threads counted; at least 1."""
    usable, quota = len(usable_cpus(cpus, proc=proc, sys=sys)), cpu_quota(proc=proc, sys=sys)
    return usable if quota is None else max(1, min(usable, int(quota)))


def cpu_quota(*, proc: str = "/proc", sys: str = "/sys") -> float | None:
    """Return how many CPUs' time the control groups above this process allow at most; None without a limit."""
    limits = [limit for folder in control_groups(proc, sys) for limit in (_limit_of(folder),) if limit is not None]
    return min(limits, default=None)


def _limit_of(folder: str) -> float | None:
    quota, _, period = _read(f"{folder}/cpu.max").strip().partition(" ")
    if not quota:
        quota, period = _read(f"{folder}/cpu.cfs_quota_us"), _read(f"{folder}/cpu.cfs_period_us")
    most, length = _number(quota), _number(period)
    return most / length if most and length else None


def control_groups(proc: str, sys: str) -> Iterator[str]:
    """Yield the folders of this process's control groups of CPU time, each with all above it up to its mount."""
    own, own_v2 = _own_groups(proc)
    for mount, root, version in _mounts(proc, sys):
        group = own_v2 if version == 2 else own  # noqa: PLR2004 -- the two versions of control groups
        below = _below(group, root)
        while below:
            yield f"{mount}/{below}"
            below = below.rpartition("/")[0]
        yield mount


def _own_groups(proc: str) -> tuple[str, str]:
    """Return the paths of the process's groups of CPU time in versions 1 and 2."""
    old = new = "/"
    for line in _read(f"{proc}/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            new = path
        elif "cpu" in controllers.split(","):
            old = path
    return old, new


def _mounts(proc: str, sys: str) -> Iterator[tuple[str, str, int]]:
    """Yield where control groups of CPU time are mounted, which group that is, and their version."""
    found = False
    for line in _read(f"{proc}/self/mountinfo").splitlines():
        fields, _, kind = line.partition(" - ")
        parts, words = fields.split(" "), kind.split(" ")
        if len(parts) < 5 or words[0] not in {"cgroup", "cgroup2"}:  # noqa: PLR2004 -- the mount point is the fifth
            continue
        version = 2 if words[0] == "cgroup2" else 1
        if version == 2 or "cpu" in words[-1].split(","):  # noqa: PLR2004 -- see above
            found = True
            yield _placed(_plain(parts[4]), sys), _plain(parts[3]), version
    if not found:
        for places, version in ((_V1_PLACES, 1), (_V2_PLACES, 2)):
            for place in places:
                yield f"{sys}/fs/cgroup/{place}".rstrip("/"), "/", version


def _plain(path: str) -> str:
    """Return a path of mountinfo, which writes a space as an octal number."""
    return path.replace("\\040", " ").rstrip("/") or "/"


def _placed(path: str, sys: str) -> str:
    return sys + path[len("/sys") :] if path.startswith("/sys/") else path


def _below(group: str, root: str) -> str:
    """Return a group's path below the group that is mounted; empty where it does not lie there by name.

    A container often sees a mount of its own group only, under a path that its parent gave it.
    """
    start = root.rstrip("/") + "/"
    if not group.startswith(start) or ".." in group.split("/"):
        return ""
    return group[len(start) :].strip("/")


# Files


def read_list(text: str) -> list[int]:
    """Return the numbers of a list as the kernel writes it, such as `0-3,8`; what is no number is passed over."""
    numbers: list[int] = []
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        start = _number(first)
        end = _number(last) if dash else start
        if start is not None and end is not None and start <= end < _MOST_CPUS:
            numbers.extend(range(start, end + 1))
    return numbers


def _number(text: str) -> int | None:
    plain = text.strip()
    return int(plain) if plain.isascii() and plain.isdigit() and len(plain) <= _MOST_DIGITS else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 -- pathlib is slow to import
            return file.read(_MOST_BYTES)
    except (OSError, ValueError):
        return ""
