"""Find compilers and try each on this very CPU before it is trusted with a build."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec
from packaging.version import Version

from truewheel import process
from truewheel.config.locations import cache_root
from truewheel.cpu.architecture import machine_levels
from truewheel.cpu.features import features_of_macros
from truewheel.cpu.host import Host
from truewheel.cpu.levels import level_features
from truewheel.decoding import UnreadableError, decode_json
from truewheel.errors import FetchError
from truewheel.files import read_file, remove, write_file
from truewheel.kept.entry import growing
from truewheel.kept.record import read_record, write_record
from truewheel.machine import tools
from truewheel.scratch import SCRATCH
from truewheel.targets.targets import zig_target

MINIMUM_VERSIONS = {"clang": "15", "gcc": "10", "zig": "0.14"}
"""Oldest versions that are tried; docs/concepts/toolchains.md says why."""

_NEWEST_SUFFIX, _OLDEST_SUFFIX = 40, 9
_PROBE_SECONDS = 900.0
_RUN_SECONDS = 60.0
_PROBE_OUTPUT = "5120 6129"
_FORMAT = 7
_MACRO_LINES = 100_000


class Toolchain(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One compiler for C and C++ and what a trial of it showed.

    Attributes:
        kind: `clang`, `gcc` or `zig`.
        version: as the compiler says it.
        cc: command of the C compiler.
        cxx: command of the C++ compiler.
        ar: command of the archiver, or empty for CMake's own choice.
        ranlib: likewise.
        native_cpu: what the compiler takes this CPU for.
        native_features: features that it uses with `-march=native`, sorted.
        isa_note: how it marks a library with the level that it needs: by an option of its `linker`, or by an `object`
            that is linked in.
        target: target triple with C library version where the compiler takes one.
        refusal: why it is passed over; empty when it is fit.
        unused: features of this CPU that it knows nothing of, sorted.
    """

    kind: str
    version: str
    cc: str
    cxx: str
    ar: str = ""
    ranlib: str = ""
    native_cpu: str = ""
    native_features: tuple[str, ...] = ()
    isa_note: Literal["linker", "object"] = "linker"
    target: str = ""
    refusal: str = ""
    unused: tuple[str, ...] = ()


def find_toolchain(
    wanted: tuple[str, ...], host: Host, say: tools.Say, *, native: bool, fetch: bool = True
) -> tuple[Toolchain | None, list[Toolchain]]:
    """Return the first fit compiler in the order of `wanted`, and those passed over before it.

    Zig is fetched from the package index when the list comes to it and it is not here. Where it cannot be had, that is
    said, and the list goes on.

    Args:
        wanted: `clang`, `gcc` and `zig`, with the oldest version that is meant, as in `clang>=19`.
        host: the machine.
        say: is told what takes a while.
        native: whether it must know this very CPU; a portable wheel does not ask that of it.
        fetch: whether zig may be fetched.

    Raises:
        FetchError: zig was needed and cannot be had.
    """
    passed: list[Toolchain] = []
    missing: FetchError | None = None
    for wish in wanted:
        kind, _ = split_wish(wish)
        if kind == "zig" and fetch and missing is None:
            try:
                tools.in_cache("ziglang") or tools.fetch_tool("ziglang", say)
            except FetchError as error:
                missing = error
                passed.append(_unfetched(error))
        seen = {(tried.cc, tried.cxx) for tried in passed}
        for candidate in wished(wish):
            if (candidate.cc, candidate.cxx) in seen:
                continue
            tried = try_toolchain(candidate, host, say, native=native)
            if not tried.refusal:
                return tried, passed
            passed.append(tried)
    if missing is not None:
        raise missing
    return None, passed


def split_wish(wish: str) -> tuple[str, str]:
    """Return kind and oldest version of `clang>=19`; the version is 0 where none is named."""
    kind, _, least = wish.partition(">=")
    return kind, least or "0"


def wished(wish: str) -> Iterator[Toolchain]:
    """Yield the compilers on this machine that `clang>=19` means, the best first, untried."""
    kind, least = split_wish(wish)
    return (candidate for candidate in candidates(kind) if Version(candidate.version) >= Version(least))


def _unfetched(error: FetchError) -> Toolchain:
    return Toolchain(kind="zig", version=tools.tool_pins()["ziglang"].version, cc="", cxx="", refusal=error.message)


def candidates(kind: str) -> Iterator[Toolchain]:
    """Yield the compilers of one kind that are on this machine, the best first, untried."""
    if kind == "zig":
        if tool := tools.in_cache("ziglang"):
            yield _zig(tool)
        return
    cc, cxx = {"clang": ("clang", "clang++"), "gcc": ("gcc", "g++")}[kind]
    found: dict[str, Toolchain] = {}
    for suffix in ["", *(f"-{number}" for number in range(_NEWEST_SUFFIX, _OLDEST_SUFFIX, -1))]:
        c_path, cxx_path = shutil.which(cc + suffix), shutil.which(cxx + suffix)
        if c_path and cxx_path and os.path.realpath(c_path) not in found:
            version = _version(c_path)
            found[os.path.realpath(c_path)] = Toolchain(kind=kind, version=version, cc=c_path, cxx=cxx_path)
    yield from sorted(found.values(), key=lambda toolchain: Version(toolchain.version), reverse=True)


def try_toolchain(candidate: Toolchain, host: Host, say: tools.Say, *, native: bool = True) -> Toolchain:
    """Compile and run the probes; the result is remembered until the compiler or the CPU changes."""
    record = cache_root() / "probes" / _trial_key(candidate, host, native=native)
    if data := read_record(record):
        with contextlib.suppress(UnreadableError):
            return decode_json(data, Toolchain)
    first = "; its first time takes a minute, it builds its C++ library" if candidate.kind == "zig" else ""
    say(f"         trying {candidate.kind} {candidate.version} on this CPU{first}")
    with running(candidate, say):
        result = _try_now(candidate, host) if native else _try_portable(candidate)
    _remember(record, msgspec.json.encode(result))
    return result


# Asked for a dependency file, zig does not look into its own object cache. We build from nothing each time,
# so nobody would read one, and ninja takes a missing one for an empty one. Rust's crates name the target as clang
# spells it; zig spells it otherwise, and is told its own.
_DROP_OPTIONS = """\
skip=
for argument do
    shift
    if [ -n "$skip" ]; then skip=; continue; fi
    case "$argument" in
        -MD | -MMD | --target=*-unknown-linux-gnu) continue ;;
        -MT | -MF | -MQ) skip=1; continue ;;
    esac
    set -- "$@" "$argument"
done
"""


def _zig(tool: tools.Tool) -> Toolchain:
    """Wrap zig's sub-commands in scripts, because CMake wants one program a compiler."""
    caches = cache_root() / "zig"
    folder = caches / "wrappers"
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for command in ("cc", "c++", "ar", "ranlib"):
        compiler = command in ("cc", "c++")
        target = f" -target {zig_target().zig_target}" if compiler else ""
        # The version stands in the script because compile caches tell compilers apart by their content.
        text = (
            f"#!/bin/sh\n# zig {tool.version}\n"
            f"export ZIG_GLOBAL_CACHE_DIR=${{ZIG_GLOBAL_CACHE_DIR:-{shlex.quote(str(caches / 'global'))}}}\n"
            f"export ZIG_LOCAL_CACHE_DIR=${{ZIG_LOCAL_CACHE_DIR:-{shlex.quote(str(caches / 'local'))}}}\n"
            f"{_DROP_OPTIONS if compiler else ''}"
            f'exec {shlex.quote(str(tool.path))} {command}{target} "$@"\n'
        )
        path = folder / f"zig-{command}"
        if not _is_script(path, text.encode()):
            remove(path)
            write_file(path, text.encode(), mode=0o755)
        paths[command] = str(path)
    return Toolchain(
        kind="zig",
        version=tool.version,
        cc=paths["cc"],
        cxx=paths["c++"],
        ar=paths["ar"],
        ranlib=paths["ranlib"],
        target=zig_target().zig_target,
    )


def _is_script(path: Path, text: bytes) -> bool:
    try:
        return os.access(path, os.X_OK) and not path.is_symlink() and read_file(path) == text
    except OSError:
        return False


@contextlib.contextmanager
def running(toolchain: Toolchain, say: tools.Say) -> Iterator[None]:
    """Make a compiler that was fetched ready to be run: it and what it keeps must be what they were.

    Args:
        toolchain: any compiler; those of the machine are the machine's affair.
        say: is told what takes a while.

    Raises:
        FetchError: it was not what it was, and cannot be fetched again.
        OSError: its folders cannot be written to.
    """
    with contextlib.ExitStack() as stack:
        if toolchain.kind == "zig":
            tools.fetch_tool("ziglang", say)
            for name in ("global", "local"):
                stack.enter_context(growing(cache_root() / "zig" / name, piecemeal=False))
        yield


def _version(path: str) -> str:
    """Return a compiler's version; it is asked once, until the program changes."""
    record = cache_root() / "probes" / f"version-{_digest(_stamp(path))}"
    if data := read_record(record):
        return data.decode()
    done = _run([path, "-dumpfullversion", "-dumpversion"], timeout=20)
    match = re.search(r"\d+(\.\d+)*", done.output)
    version = match[0] if done.returncode == 0 and match else "0"
    _remember(record, version.encode())
    return version


def _stamp(program: str) -> list[str]:
    """Return what changes when a program is replaced."""
    status = Path(program).stat()
    return [program, os.path.realpath(program), str(status.st_size), str(status.st_mtime_ns)]


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _remember(record: Path, data: bytes) -> None:
    """Keep a result; where nothing can be kept, it is found out anew each time."""
    with contextlib.suppress(OSError):
        write_record(record, data)


def _trial_key(candidate: Toolchain, host: Host, *, native: bool) -> str:
    parts = [str(_FORMAT), str(native), candidate.kind, candidate.version, host.model, *host.features]
    return f"{candidate.kind}-{_digest([*parts, *_stamp(candidate.cc), *_stamp(candidate.cxx)])}"


def _try_now(candidate: Toolchain, host: Host) -> Toolchain:
    if Version(candidate.version) < Version(MINIMUM_VERSIONS[candidate.kind]):
        return _refuse(candidate, f"too old: {MINIMUM_VERSIONS[candidate.kind]} or newer is needed")
    macros = _run(
        [candidate.cc, "-march=native", "-x", "c", "-dM", "-E", os.devnull],
        timeout=_PROBE_SECONDS,
        keep_lines=_MACRO_LINES,
    )
    if macros.returncode != 0:
        return _refuse(candidate, f"does not know this CPU: {first_error(macros.output)}")
    names = [line.split()[1] for line in macros.output.splitlines() if line.startswith("#define ")]
    features = features_of_macros(names) | ({"cx16"} if "cx16" in host.features else set())
    foreign = features - set(host.features)
    if foreign:
        return _refuse(candidate, f"takes this CPU for one with {', '.join(sorted(foreign))}, which it has not")
    missing = level_features(host.level) - features - {"lahf_lm"}
    if missing:
        return _refuse(
            candidate, f"does not know this CPU: -march=native leaves out {', '.join(sorted(missing))} of {host.level}"
        )
    with SCRATCH.folder("truewheel-probe") as scratch:
        reason = _compile_and_run(candidate, scratch, ["-march=native"])
        note = _find_note(candidate, scratch)
    if reason:
        return _refuse(candidate, reason)
    return msgspec.structs.replace(
        candidate,
        native_cpu=_native_cpu(candidate),
        native_features=tuple(sorted(features)),
        isa_note=note,
        unused=tuple(sorted(set(host.features) - features)),
    )


def _try_portable(candidate: Toolchain) -> Toolchain:
    if Version(candidate.version) < Version(MINIMUM_VERSIONS[candidate.kind]):
        return _refuse(candidate, f"too old: {MINIMUM_VERSIONS[candidate.kind]} or newer is needed")
    with SCRATCH.folder("truewheel-probe") as scratch:
        reason = _compile_and_run(candidate, scratch, [])
        note = _find_note(candidate, scratch)
    return _refuse(candidate, reason) if reason else msgspec.structs.replace(candidate, isa_note=note)


def _refuse(candidate: Toolchain, reason: str) -> Toolchain:
    return msgspec.structs.replace(candidate, refusal=reason)


def _compile_and_run(candidate: Toolchain, scratch: Path, march: list[str]) -> str:
    """Return why the probes fail with this compiler, or nothing."""
    program, unit, library = str(scratch / "probe"), str(scratch / "probe.o"), str(scratch / "probe.so")
    compile_c = [candidate.cc, "-O3", *march]
    compile_cxx = [candidate.cxx, "-O3", *march, "-std=c++17", "-fPIC", "-c"]
    # Linked without -march and with the options of the build: what zig builds for it then serves both.
    link_cxx = [candidate.cxx, "-fPIC", "-O3", "-shared", "-s", "-pthread", unit]
    load = [sys.executable, "-c", "import ctypes, sys; sys.exit(ctypes.CDLL(sys.argv[1]).probe())", library]
    for source, builds, run in (
        ("probe.c", [[*compile_c, "probe.c", "-o", program]], [program]),
        ("probe_amx.c", [[*compile_c, "probe_amx.c", "-o", program]], [program]),
        ("probe.cpp", [[*compile_cxx, "probe.cpp", "-o", unit], [*link_cxx, "-o", library]], load),
    ):
        (scratch / source).write_bytes(resources.files("truewheel.machine").joinpath(source).read_bytes())
        for command in builds:
            built = _run(command, cwd=scratch, timeout=_PROBE_SECONDS)
            if built.returncode != 0:
                return f"cannot build {source}: {first_error(built.output)}"
        ran = _run(run, timeout=_RUN_SECONDS)
        if ran.returncode < 0:
            name = signal.Signals(-ran.returncode).name
            return f"makes code that dies on this CPU: {source} ended with {name}"
        if ran.returncode != 0 or (source == "probe.c" and ran.output.strip() != _PROBE_OUTPUT):
            return f"makes code that computes wrongly on this CPU: {source} printed {ran.output.strip()!r}"
    return ""


def _find_note(candidate: Toolchain, scratch: Path) -> Literal["linker", "object"]:
    """Try whether the linker has an option that writes the ISA note, by reading it back."""
    from truewheel.binary.elf import read_elf

    levels = machine_levels(platform.machine())
    if not levels:
        return "object"
    level = levels[-1]
    library = scratch / "note.so"
    (scratch / "note.c").write_text("int note(void) { return 1; }\n")
    command = [candidate.cc, "-shared", "-fPIC", f"-Wl,-z,{level}", "note.c", "-o", str(library)]
    done = _run(command, cwd=scratch, timeout=_PROBE_SECONDS)
    written = done.returncode == 0 and library.is_file() and read_elf(read_file(library)).isa_level == level
    return "linker" if written else "object"


def _native_cpu(candidate: Toolchain) -> str:
    if candidate.kind == "gcc":
        done = _run([candidate.cc, "-march=native", "-Q", "--help=target"], timeout=20, keep_lines=_MACRO_LINES)
        match = re.search(r"-march=\s+(\S+)", done.output)
    else:
        done = _run(
            [candidate.cc, "-march=native", "-###", "-x", "c", "-c", os.devnull], timeout=20, keep_lines=_MACRO_LINES
        )
        names = re.findall(r'"-target-cpu" "([^"]+)"', done.output)
        match = None
        if names and not names[-1].startswith(("x86-64", "generic")):
            return re.sub(r"[^a-z0-9]+", "_", names[-1].lower())
    return re.sub(r"[^a-z0-9]+", "_", match[1].lower()).strip("_") if match else ""


def _run(command: list[str], *, timeout: float, cwd: Path | None = None, keep_lines: int = 400) -> process.Completed:
    """Run a trial in the same environment as a build: stray variables change neither."""
    return process.run(command, env=process.plain_environment(), cwd=cwd, timeout=timeout, keep_lines=keep_lines)


def first_error(output: str) -> str:
    """Return the first line of a compiler's output that says what is wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if re.search(r"\berror\b", line)), lines[0] if lines else "no message")[:300]
