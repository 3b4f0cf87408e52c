"""How many threads fit: machines that are made of files."""

import ast
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truewheel.carried import cores
from truewheel.carried.cores import count_usable, cpu_quota, fit_threads, physical_cores, read_list, usable_cpus

FILE = Path(cores.__file__)
V2 = "30 24 0:27 {root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "33 30 0:30 {root} /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
V1_MEMORY = "34 30 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:10 - cgroup cgroup rw,memory\n"


class Machine:
    """A /proc and a /sys in a folder."""

    def __init__(self, folder):
        self.proc, self.sys = str(folder / "proc"), str(folder / "sys")
        self.folder = folder

    def write(self, path, text):
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return self

    def with_cores(self, count, threads=2, *, first=0, siblings="thread_siblings_list"):
        """Add physical cores, whose second hardware threads are numbered after all first ones, as Linux does."""
        for core in range(count):
            numbers = [first + core + count * thread for thread in range(threads)]
            for number in numbers:
                text = ",".join(map(str, numbers))
                self.write(f"sys/devices/system/cpu/cpu{number}/topology/{siblings}", f"{text}\n")
        return self.write("sys/devices/system/cpu/online", f"0-{first + count * threads - 1}\n").allow(
            f"0-{first + count * threads - 1}"
        )

    def allow(self, numbers):
        return self.write("proc/self/status", f"Name:\tpython3\nCpus_allowed:\tff\nCpus_allowed_list:\t{numbers}\n")

    def with_v2(self, group="/", root="/", **limits):
        self.write("proc/self/mountinfo", V2.format(root=root)).write("proc/self/cgroup", f"0::{group}\n")
        for folder, limit in limits.items():
            self.write(f"sys/fs/cgroup/{folder.replace('__', '/')}/cpu.max", limit)
        return self

    def with_v1(self, group="/", root="/"):
        self.write("proc/self/mountinfo", V1_MEMORY + V1.format(root=root))
        return self.write("proc/self/cgroup", f"12:memory:/elsewhere\n4:cpu,cpuacct:{group}\n0::/\n")

    def limit_v1(self, group, quota, period="100000"):
        folder = f"sys/fs/cgroup/cpu,cpuacct/{group}"
        return self.write(f"{folder}/cpu.cfs_quota_us", f"{quota}\n").write(
            f"{folder}/cpu.cfs_period_us", f"{period}\n"
        )

    def fit(self, cpus=None):
        return fit_threads(cpus, proc=self.proc, sys=self.sys)

    def counts(self, cpus=None):
        return self.fit(cpus)[:2]

    def quota(self):
        return cpu_quota(proc=self.proc, sys=self.sys)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_hardware_threads_are_no_cores(machine):
    machine.with_cores(32)
    assert machine.counts() == (32, 32)
    assert machine.fit().reason == "32 physical cores of 64 usable CPUs"


@pytest.mark.parametrize("siblings", ["thread_siblings_list", "core_cpus_list"])
def test_both_names_of_the_list_of_siblings_are_known(machine, siblings):
    assert machine.with_cores(4, siblings=siblings).counts() == (4, 4)


def test_sixty_four_cpus_of_which_a_container_may_use_two(machine):
    machine.with_cores(32).with_v2("/", **{".": "200000 100000\n"})
    assert machine.counts() == (2, 2)
    assert machine.fit().reason == "32 physical cores of 64 usable CPUs; a control group allows 2 CPUs"


def test_the_same_in_the_older_control_groups(machine):
    machine.with_cores(32).with_v1("/docker/0123", root="/docker/0123").limit_v1("", "200000")
    assert machine.counts() == (2, 2)


@pytest.mark.parametrize("limited", ["a.slice", "a.slice__b.service", "a.slice__b.service__c"])
def test_the_least_quota_above_the_own_group_counts(machine, limited):
    others = {"a.slice": "800000 100000", "a.slice__b.service": "max 100000", "a.slice__b.service__c": "600000 100000"}
    machine.with_cores(32).with_v2("/a.slice/b.service/c", **{**others, limited: "200000 100000"})
    assert machine.counts() == (2, 2)


def test_the_least_quota_counts_in_the_older_ones_too(machine):
    machine.with_cores(32).with_v1("/kube/pod/box").limit_v1("kube/pod/box", "800000")
    machine.limit_v1("kube/pod", "-1").limit_v1("kube", "300000")
    assert machine.counts() == (3, 3)


def test_a_group_beside_the_own_one_does_not_count(machine):
    machine.with_cores(32).with_v2("/mine", mine="max 100000", mine2="100000 100000", other="100000 100000")
    assert machine.counts() == (32, 32)


def test_a_controller_beside_the_cpus_does_not_count(machine):
    machine.with_cores(32).with_v1("/box").write("sys/fs/cgroup/memory/elsewhere/cpu.cfs_quota_us", "100000")
    machine.write("sys/fs/cgroup/memory/elsewhere/cpu.cfs_period_us", "100000")
    assert machine.counts() == (32, 32)


@pytest.mark.parametrize(
    ("limit", "count"),
    [("max 100000", 8), ("50000 100000", 1), ("99999 100000", 1), ("150000 100000", 1), ("199999 100000", 1),
     ("200000 100000", 2), ("25000 10000", 2), ("900000 100000", 8)],
)  # fmt: skip
def test_whole_cpus_of_a_quota_count_and_one_at_least(machine, limit, count):
    machine.with_cores(8, threads=1).with_v2("/box", box=limit)
    assert machine.counts() == (count, count)


def test_a_quota_beyond_the_cores_does_not_add_any(machine):
    assert machine.with_cores(4).with_v2("/", **{".": "600000 100000"}).counts() == (4, 4)
    assert count_usable(proc=machine.proc, sys=machine.sys) == 6


def test_in_a_namespace_the_mount_is_the_own_group(machine):
    machine.with_cores(32).with_v2("/", root="/", **{".": "400000 100000"})
    assert machine.counts() == (4, 4)


@pytest.mark.parametrize(
    ("group", "root"),
    [
        ("/", "/../.."),
        ("/../../box", "/"),
        ("/docker/abc", "/kubepods/def"),
        ("/docker/abc", "/docker/abc/"),
        ("", "/"),
    ],
)
def test_where_names_do_not_lead_to_the_own_group_the_mount_is_read(machine, group, root):
    machine.with_cores(32).with_v2(group, root=root, **{".": "200000 100000"})
    assert machine.counts() == (2, 2)


def test_a_name_does_not_lead_out_of_the_mount(machine):
    machine.with_cores(32).with_v2("/../box", **{".": "200000 100000"})
    machine.write("sys/fs/cgroup/keep", "").write("sys/fs/box/cpu.max", "100000 100000")
    assert machine.counts() == (2, 2)


def test_a_group_that_is_gone_is_passed_by(machine):
    machine.with_cores(32).with_v2("/a/b/gone (deleted)", a="300000 100000")
    assert machine.counts() == (3, 3)


def test_without_a_list_of_mounts_the_usual_places_are_read(machine):
    machine.with_cores(32).limit_v1("", "300000")
    assert machine.counts() == (3, 3)
    machine.write("sys/fs/cgroup/unified/cpu.max", "200000 100000")
    assert machine.counts() == (2, 2)


def test_both_versions_at_once_and_the_lesser_counts(machine):
    machine.with_cores(32).write("proc/self/mountinfo", V1.format(root="/") + V2.format(root="/").replace(
        "/sys/fs/cgroup", "/sys/fs/cgroup/unified"
    )).write("proc/self/cgroup", "4:cpu,cpuacct:/old\n0::/new\n")  # fmt: skip
    machine.limit_v1("old", "500000").write("sys/fs/cgroup/unified/new/cpu.max", "700000 100000")
    assert machine.quota() == 5.0
    machine.write("sys/fs/cgroup/unified/new/cpu.max", "250000 100000")
    assert machine.quota() == 2.5


def test_a_mount_point_with_a_space_is_found(machine):
    machine.write("proc/self/mountinfo", V2.format(root="/").replace("/sys/fs/cgroup", "/sys/fs/control\\040groups"))
    machine.write("proc/self/cgroup", "0::/box\n").write("sys/fs/control groups/box/cpu.max", "200000 100000")
    assert machine.quota() == 2.0


@pytest.mark.parametrize(("cpus", "count"), [([0], 1), ([0, 8], 1), ([0, 1], 2), ([8], 1), ([3, 4, 11, 12], 2)])
def test_affinity_to_hardware_threads_leaves_their_cores(machine, cpus, count):
    machine.with_cores(8)
    assert machine.counts(cpus) == (count, count)
    assert machine.allow(",".join(map(str, cpus))).counts() == (count, count)


def test_a_cpu_that_is_offline_does_not_count(machine):
    machine.with_cores(8, threads=1).allow("0-127").write("sys/devices/system/cpu/online", "0-2,5\n")
    assert usable_cpus(proc=machine.proc, sys=machine.sys) == [0, 1, 2, 5]
    assert machine.counts() == (4, 4)
    assert machine.counts([2, 3, 4, 5]) == (2, 2)


def test_a_sibling_that_is_offline_does_not_matter(machine):
    machine.with_cores(4).write("sys/devices/system/cpu/online", "0-3\n")
    assert machine.counts() == (4, 4)


def hybrid(machine):
    """Write a machine of 4 performance cores with 2 threads and 8 efficient ones, CPUs 0 to 7 and 8 to 15."""
    for core in range(4):
        for cpu in (2 * core, 2 * core + 1):
            machine.write(f"sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list", f"{2 * core}-{2 * core + 1}")
    for cpu in range(8, 16):
        machine.write(f"sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list", f"{cpu}")
    return machine.allow("0-15").write("sys/devices/system/cpu/online", "0-15\n")


def of_intel(machine):
    return machine.write("sys/devices/cpu_core/cpus", "0-7\n").write("sys/devices/cpu_atom/cpus", "8-15\n")


def by(name, fast, slow):
    def write(machine):
        for cpu in range(16):
            machine.write(f"sys/devices/system/cpu/cpu{cpu}/{name}", f"{fast if cpu < 8 else slow}\n")
        return machine

    return write


KINDS = [of_intel, by("cpu_capacity", 1024, 600), by("cpufreq/cpuinfo_max_freq", 5100000, 3300000)]


@pytest.mark.parametrize("tell", KINDS)
def test_on_a_hybrid_cpu_performance_cores_alone_decode(machine, tell):
    tell(hybrid(machine))
    assert machine.counts() == (4, 12)
    assert machine.fit().reason == "12 physical cores of 16 usable CPUs; decoding on 4 performance cores alone"
    assert machine.counts(range(2, 16)) == (3, 11)


@pytest.mark.parametrize("tell", KINDS)
@pytest.mark.parametrize(("cpus", "count"), [(range(8, 16), 8), ([0, 1, 8, 9, 10], 4), (range(8), 4)])
def test_where_there_are_no_two_performance_cores_all_decode(machine, tell, cpus, count):
    assert tell(hybrid(machine)).counts(cpus) == (count, count)


def test_a_quota_bounds_both_kinds_of_threads(machine):
    of_intel(hybrid(machine)).with_v2("/", **{".": "600000 100000"})
    assert machine.counts() == (4, 6)


def test_boost_clocks_make_no_other_kind_of_core(machine):
    by("cpufreq/cpuinfo_max_freq", 5700000, 5250000)(hybrid(machine))
    assert machine.counts() == (12, 12)


def test_a_capacity_that_only_some_cores_tell_decides_nothing(machine):
    by("cpu_capacity", 1024, 400)(hybrid(machine)).write("sys/devices/system/cpu/cpu9/cpu_capacity", "none")
    assert machine.counts() == (12, 12)


def test_without_sys_the_list_of_cpus_tells_the_cores(machine):
    block = "processor\t: {0}\nmodel name\t: Imagined\nphysical id\t: 0\ncore id\t\t: {1}\n\n"
    machine.write("proc/cpuinfo", "".join(block.format(cpu, cpu % 4) for cpu in range(8))).allow("0-7")
    assert machine.counts() == (4, 4)
    assert machine.counts([0, 4, 5]) == (2, 2)


def test_with_nothing_at_all_each_cpu_counts(machine):
    assert machine.counts([0, 1, 2]) == (3, 3)
    assert machine.counts([]) == machine.counts() == (os.cpu_count(), os.cpu_count())
    assert machine.quota() is None


@pytest.mark.parametrize(
    "limit",
    ["", "max", "nonsense", "200000", "200000 0", "0 100000", "-1 100000", "1.5 1", "200000 x", "٢٠٠٠٠٠ 100000",
     f"{'9' * 5000} 100000", "\x00"],
)  # fmt: skip
def test_a_malformed_limit_is_none(machine, limit):
    assert machine.with_cores(4).with_v2("/", **{".": limit}).counts() == (4, 4)


@pytest.mark.parametrize(("quota", "period"), [("-1", "100000"), ("200000", "0"), ("200000", ""), ("many", "100000")])
def test_a_malformed_limit_of_the_older_ones_is_none(machine, quota, period):
    machine.with_cores(4).with_v1("/").limit_v1("", quota, period)
    assert machine.counts() == (4, 4)


@pytest.mark.parametrize("name", ["mountinfo", "cgroup", "status"])
@pytest.mark.parametrize("text", ["", "\n\n", "a b c", ":::::", "0::", " - cgroup2", "1 2 3 / - cgroup rw,cpu", "\xff"])
def test_malformed_tables_of_the_process_do_no_harm(machine, name, text):
    machine.with_cores(4).write(f"proc/self/{name}", text)
    assert machine.counts() == (4, 4)


@pytest.mark.parametrize("text", ["", "x", "7-0", "-", "1-", "0-99999999999", "9"])
def test_a_malformed_list_of_siblings_leaves_each_cpu_by_itself(machine, text):
    machine.with_cores(2).write("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", text)
    machine.write("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", text)
    assert machine.counts([0, 2]) == (2, 2)


def test_a_folder_in_place_of_a_file_does_no_harm(machine):
    (machine.folder / "proc/self/status").mkdir(parents=True)
    (machine.folder / "sys/fs/cgroup/cpu.max").mkdir(parents=True)
    assert machine.quota() is None
    assert machine.counts([0, 1]) == (2, 2)


@pytest.mark.parametrize(
    ("text", "numbers"), [("0-3,8", [0, 1, 2, 3, 8]), ("5\n", [5]), ("", []), ("3-1", []), ("0,x,2", [0, 2])]
)
def test_lists_of_the_kernel_are_read(text, numbers):
    assert read_list(text) == numbers


@given(st.text(max_size=40))
def test_any_text_is_a_list_or_none(text):
    assert all(number >= 0 for number in read_list(text))


@given(st.sets(st.integers(min_value=0, max_value=200), max_size=20))
def test_every_cpu_is_in_one_core(cpus):
    found = physical_cores(cpus, proc="/nowhere", sys="/nowhere")
    assert sorted(cpu for core in found for cpu in core) == sorted(cpus)


def test_this_machine_is_counted():
    found = fit_threads()
    assert 1 <= found.decode <= found.prompt <= count_usable() <= len(os.sched_getaffinity(0))
    assert "physical core" in found.reason


def test_the_affinity_of_this_thread_counts():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert fit_threads()[:2] == (1, 1)
    finally:
        os.sched_setaffinity(0, before)


def test_the_module_stands_alone_and_is_for_python_3_8():
    tree = ast.parse(FILE.read_text(), feature_version=(3, 8))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names)
    assert {"pathlib", "re", "subprocess"}.isdisjoint(imported)
