"""The platforms that a wheel can be for, the sentences that refuse the others, and which compilers are asked what."""

import re
from importlib import resources

import msgspec
import pytest
from factories import make_host, make_toolchain, make_zig
from hypothesis import given
from hypothesis import strategies as st
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from truewheel.config.load import load_profile
from truewheel.cpu.architecture import architectures, machine_levels
from truewheel.errors import FetchError, PlanError
from truewheel.machine import probe
from truewheel.machine.probe import find_toolchain, try_toolchain
from truewheel.targets.targets import Target, legacy_tags, target_named, target_of, targets, zig_target

SUPPORTED = [target for target in targets() if not target.refusal]
REFUSED = [target for target in targets() if target.refusal]


def refusal(**changes):
    """Return why nothing is built on a machine, and what to do instead."""
    with pytest.raises(PlanError) as caught:
        target_of(make_host(**changes))
    assert caught.value.exit_code == 3
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize("libc", ["glibc 2.17", "glibc 2.36", "glibc 2.41", "glibc"])
def test_x86_64_linux_with_glibc_is_supported(libc):
    target = target_of(make_host(libc=libc))
    assert target.name == "x86_64-linux-gnu"
    assert not target.refusal


@pytest.mark.parametrize(
    ("system", "machine", "libc", "sentence"),
    [
        ("Linux", "aarch64", "glibc 2.36", "aarch64 is not supported yet: truewheel builds for x86-64"),
        ("Linux", "aarch64", "musl 1.2.5", "aarch64 is not supported yet: truewheel builds for x86-64"),
        ("Linux", "x86_64", "musl 1.2.5", "the C library musl is not supported yet: truewheel builds for glibc"),
        ("Linux", "x86_64", "musl", "the C library musl is not supported yet: truewheel builds for glibc"),
        ("Darwin", "arm64", "unknown", "macOS is not supported yet: truewheel builds on Linux"),
        ("Darwin", "x86_64", "unknown", "macOS is not supported yet: truewheel builds on Linux"),
        ("Windows", "AMD64", "unknown", "Windows is not supported yet: truewheel builds on Linux"),
        ("Windows", "ARM64", "unknown", "Windows is not supported yet: truewheel builds on Linux"),
        ("FreeBSD", "amd64", "unknown", "FreeBSD is not supported yet: truewheel builds for x86_64-linux-gnu"),
        ("Linux", "i686", "glibc 2.36", "i686 is not supported yet: truewheel builds for x86_64-linux-gnu"),
        ("Linux", "riscv64", "glibc 2.36", "riscv64 is not supported yet: truewheel builds for x86_64-linux-gnu"),
        (
            "Linux",
            "x86_64",
            "unknown",
            "the C library unknown is not supported yet: truewheel builds for x86_64-linux-gnu",
        ),
    ],
)
def test_every_other_platform_is_refused_with_one_sentence_that_names_it(system, machine, libc, sentence):
    message, hint = refusal(system=system, machine=machine, libc=libc)
    assert message == sentence
    assert re.fullmatch(r"[^.\n]+", hint)


def test_a_c_library_is_no_other_of_a_like_name():
    assert "musl" in refusal(libc="musl 2.36")[0]
    assert "glibc-ng" in refusal(libc="glibc-ng 2.36")[0]


@pytest.mark.parametrize("target", REFUSED, ids=lambda target: target.name)
def test_each_platform_of_the_table_is_refused_in_its_own_words(target):
    libc = f"{target.libc} 1.0" if target.libc else "unknown"
    assert refusal(system=target.system, machine=target.machine, libc=libc) == (target.refusal, target.hint)
    assert re.fullmatch(r"[^.\n]+", target.refusal)


@pytest.mark.parametrize("target", REFUSED, ids=lambda target: target.name)
def test_nothing_is_said_of_tags_and_compilers_where_nothing_is_built(target):
    assert (target.tag, target.portable, target.zig, target.floor) == ("", "", "", "")


@pytest.mark.parametrize("target", SUPPORTED, ids=lambda target: target.name)
def test_a_supported_platform_has_everything_that_a_build_needs(target):
    assert target.tag
    assert "{glibc}" in target.portable
    assert "{glibc}" in target.zig
    assert re.fullmatch(r"2\.\d+", target.floor)
    assert not target.hint


def test_the_names_of_the_platforms_are_their_own_and_so_are_their_places():
    names = [target.name for target in targets()]
    places = [(target.system, target.machine, target.libc) for target in targets()]
    assert len(set(names)) == len(names)
    assert len(set(places)) == len(places)


@given(
    system=st.sampled_from(["Linux", "Darwin", "Windows", "FreeBSD"]) | st.text(max_size=8),
    machine=st.sampled_from(["x86_64", "aarch64", "arm64", "AMD64", "i686"]) | st.text(max_size=8),
    libc=st.sampled_from(["glibc 2.36", "musl 1.2", "unknown", ""]) | st.text(max_size=8),
)
def test_whatever_the_machine_is_it_is_the_supported_one_or_refused(system, machine, libc):
    try:
        target = target_of(make_host(system=system, machine=machine, libc=libc))
    except PlanError as error:
        refused = error
    else:
        assert target in SUPPORTED
        assert (system, machine, libc.split(" ")[0]) == ("Linux", "x86_64", "glibc")
        return
    assert " is not supported yet: " in refused.message
    assert refused.hint


@pytest.mark.parametrize("target", SUPPORTED, ids=lambda target: target.name)
def test_what_is_supported_has_all_that_a_build_needs(target):
    assert architectures()[target.architecture].levels == target.levels
    assert target.machine in architectures()[target.architecture].machines
    assert machine_levels(target.machine) == target.levels
    assert resources.files("truewheel.build").joinpath(target.note.source).is_file()
    assert resources.files("truewheel.carried").joinpath(target.probe.source).is_file()
    assert "any" in target.probe.march
    assert target_named(target.name) is target


def test_a_machine_that_is_not_known_has_no_levels():
    assert machine_levels("aarch64") == ()


# Tags


def test_a_wheel_for_this_machine_alone_has_its_plain_tag():
    assert target_of(make_host()).platform("") == "linux_x86_64"


@pytest.mark.parametrize(
    ("glibc", "tag"),
    [
        ("2.17", "manylinux2014_x86_64.manylinux_2_17_x86_64"),
        ("2.12", "manylinux2010_x86_64.manylinux_2_12_x86_64"),
        ("2.5", "manylinux1_x86_64.manylinux_2_5_x86_64"),
        ("2.28", "manylinux_2_28_x86_64"),
        ("2.34", "manylinux_2_34_x86_64"),
    ],
)
def test_a_glibc_floor_has_its_tag_and_the_older_one_where_there_is_one(glibc, tag):
    assert target_of(make_host()).platform(glibc) == tag


def test_the_older_tags_are_those_of_pep_600():
    assert legacy_tags() == {
        "2.17": "manylinux2014_x86_64",
        "2.12": "manylinux2010_x86_64",
        "2.5": "manylinux1_x86_64",
    }


def test_installers_read_both_tags_from_a_name():
    platform = target_of(make_host()).platform("2.17")
    tags = parse_wheel_filename(f"toy-1.0-py3-none-{platform}.whl")[3]
    assert tags == {
        Tag("py3", "none", "manylinux2014_x86_64"),
        Tag("py3", "none", "manylinux_2_17_x86_64"),
    }


def test_zig_builds_for_one_of_the_platforms_and_its_floor():
    assert zig_target() in SUPPORTED
    assert zig_target().zig_target == make_zig().target == "x86_64-linux-gnu.2.17"


def test_an_unknown_key_of_the_table_is_a_fault():
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"name": "x", "system": "x", "machine": "x", "libc": "", "tga": "x"}, Target)


# Compilers

NATIVE = load_profile("native").toolchain


@pytest.fixture
def trials(monkeypatch, tmp_path):
    """Let compilers be tried without being run, and return what was tried how."""
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path))
    done = []

    def native(candidate, _host):
        done.append((candidate.kind, "native"))
        return msgspec.structs.replace(candidate, native_cpu="haswell", native_features=("avx2",))

    def portable(candidate):
        done.append((candidate.kind, "portable"))
        return candidate

    monkeypatch.setattr(probe, "_try_now", native)
    monkeypatch.setattr(probe, "_try_portable", portable)
    monkeypatch.setattr(probe, "candidates", lambda kind: iter([make_toolchain(kind=kind)]))
    monkeypatch.setattr(probe.tools, "fetch_tool", lambda _name, _say: None)
    return done


def test_a_portable_wheel_does_not_ask_a_compiler_for_this_cpu(trials):
    bare = make_toolchain(native_cpu="", native_features=())
    tried = try_toolchain(bare, make_host(), lambda _line: None, native=False)
    assert (tried.native_cpu, tried.native_features) == ("", ())
    assert trials == [("gcc", "portable")]


def test_the_two_trials_are_remembered_apart(trials):
    for _ in range(2):
        for native in (True, False):
            tried = try_toolchain(make_toolchain(), make_host(), lambda _line: None, native=native)
            assert not tried.refusal
    assert trials == [("gcc", "native"), ("gcc", "portable")]


@pytest.mark.parametrize(("native", "how"), [(True, "native"), (False, "portable")])
def test_the_first_fit_compiler_is_taken_for_either(trials, native, how):
    found, passed = find_toolchain(("zig", "gcc"), make_host(), lambda _line: None, native=native)
    assert (found.kind, passed) == ("zig", [])
    assert trials == [("zig", how)]


@pytest.fixture
def machine_with(monkeypatch, trials):
    """Let a machine have compilers, `clang 17.0.6` and the like, and tell what find_toolchain takes."""

    def have(*names, zig="fetched", broken=()):
        listed, said = [name.split() for name in names], []

        def candidates(kind):
            rows = [(kind, version) for found, version in listed if found == kind]
            for _, version in sorted(rows, key=lambda row: Version(row[1]), reverse=True):
                yield make_toolchain(
                    kind=kind, version=version, cc=f"/bin/{kind}-{version}", cxx=f"/bin/{kind}++-{version}"
                )

        def fetch(_name, say):
            say("fetching zig")
            if zig != "fetched":
                raise FetchError(zig, hint="connect once")
            listed.append(["zig", "0.17.1"])

        def native(candidate, _host):
            trials.append((candidate.kind, candidate.version))
            refusal = "makes code that dies" if f"{candidate.kind} {candidate.version}" in broken else ""
            return msgspec.structs.replace(candidate, refusal=refusal)

        monkeypatch.setattr(probe, "_stamp", lambda program: [program])
        monkeypatch.setattr(probe, "candidates", candidates)
        monkeypatch.setattr(probe, "_try_now", native)
        monkeypatch.setattr(probe.tools, "fetch_tool", fetch)

        def find(wanted=NATIVE, *, fetch=True):
            found, passed = find_toolchain(wanted, make_host(), said.append, native=True, fetch=fetch)
            names = [f"{tried.kind} {tried.version}: {tried.refusal}" for tried in passed]
            return found and f"{found.kind} {found.version}", names, "fetching zig" in said

        return find

    return have


@pytest.mark.parametrize(
    ("here", "taken", "fetches"),
    [
        (("clang 19.1.7", "gcc 15.1.0"), "clang 19.1.7", False),
        (("clang 21.0.0", "clang 19.1.7"), "clang 21.0.0", False),
        (("clang 18.1.8", "gcc 12.2.0"), "zig 0.17.1", True),
        (("gcc 12.2.0",), "zig 0.17.1", True),
        (("gcc 15.1.0",), "zig 0.17.1", True),
        ((), "zig 0.17.1", True),
    ],
)
def test_a_native_build_takes_the_newest_code_generator(machine_with, here, taken, fetches):
    assert machine_with(*here)() == (taken, [], fetches)


@pytest.mark.parametrize(
    ("here", "taken"),
    [
        (("clang 18.1.8", "gcc 14.2.0"), "gcc 14.2.0"),
        (("clang 18.1.8", "gcc 13.3.0"), "clang 18.1.8"),
        (("gcc 12.2.0", "gcc 10.2.0"), "gcc 12.2.0"),
    ],
)
def test_without_a_network_a_compiler_at_hand_is_taken_and_it_is_said(machine_with, here, taken):
    found, passed, _ = machine_with(*here, zig="the index cannot be reached")()
    assert found == taken
    assert [reason.partition(": ")[2] for reason in passed] == ["the index cannot be reached"]
    assert passed[0].startswith("zig ")


def test_without_a_network_and_any_other_compiler_the_reason_is_the_network(machine_with):
    for here in ((), ("clang 9.0.0",)):
        with pytest.raises(FetchError, match="the index cannot be reached"):
            machine_with(*here, zig="the index cannot be reached", broken=("clang 9.0.0",))()


def test_a_compiler_that_is_refused_is_tried_once(machine_with, trials):
    find = machine_with("clang 19.1.7", "gcc 12.2.0", broken=("clang 19.1.7", "zig 0.17.1"))
    assert find()[:2] == ("gcc 12.2.0", ["clang 19.1.7: makes code that dies", "zig 0.17.1: makes code that dies"])
    assert trials == [("clang", "19.1.7"), ("zig", "0.17.1"), ("gcc", "12.2.0")]


def test_nothing_is_fetched_where_that_is_not_wanted(machine_with):
    assert machine_with("gcc 12.2.0")(fetch=False) == ("gcc 12.2.0", [], False)
    assert machine_with()(fetch=False) == (None, [], False)


def test_one_kind_alone_is_taken_whatever_its_version(machine_with):
    assert machine_with("gcc 10.2.0", "clang 19.1.7")(("gcc",)) == ("gcc 10.2.0", [], False)


@pytest.mark.parametrize(
    ("kind", "version", "refused"), [("zig", "0.13.0", True), ("zig", "0.14.0", False), ("gcc", "9.5.0", True)]
)
def test_a_compiler_that_is_too_old_is_passed_over_for_portable_wheels_too(monkeypatch, kind, version, refused):
    monkeypatch.setattr(probe, "_compile_and_run", lambda _candidate, _scratch, march: " ".join(march))
    monkeypatch.setattr(probe, "_find_note", lambda _candidate, _scratch: "object")
    tried = probe._try_portable(make_zig(kind=kind, version=version))
    assert bool(tried.refusal) is refused
    assert not refused or "too old" in tried.refusal


def test_a_portable_trial_compiles_without_march(monkeypatch):
    given_flags = []

    def compile_and_run(_candidate, _scratch, march):
        given_flags.append(march)
        return "the probe died"

    monkeypatch.setattr(probe, "_compile_and_run", compile_and_run)
    monkeypatch.setattr(probe, "_find_note", lambda _candidate, _scratch: "object")
    assert probe._try_portable(make_zig()).refusal == "the probe died"
    assert given_flags == [[]]


@pytest.mark.parametrize("note", ["linker", "object"])
def test_how_a_portable_wheel_is_marked_with_its_level_is_tried_too(monkeypatch, note):
    monkeypatch.setattr(probe, "_compile_and_run", lambda _candidate, _scratch, _march: "")
    monkeypatch.setattr(probe, "_find_note", lambda _candidate, _scratch: note)
    assert probe._try_portable(make_zig()).isa_note == note
