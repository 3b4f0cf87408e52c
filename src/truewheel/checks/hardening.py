"""Is the code hardened as today's compilers harden it, and free of what harms the process that loads it?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from truewheel.binary.elf import ElfFacts
from truewheel.checks.finding import Finding
from truewheel.config.hardening import hardening
from truewheel.examine.facts import Facts

CODES = {
    "HARD-STACK": "A library makes the stack executable for the whole process, or does not say that it need not be. "
    "Newer C libraries refuse to load it.",
    "HARD-WRITABLE-CODE": "A segment can be written and run: an attacker who can write there can run code.",
    "HARD-TEXTREL": "The loader must write into the library's code: it was compiled without -fPIC.",
    "HARD-FAST-MATH": "A start-up function changes the floating-point mode of the whole process, so that denormal "
    "numbers become zero in everybody's code: it was linked with -ffast-math.",
    "HARD-PATH": "Paths into a home or a temporary folder of the machine that built it are in the library: they tell a "
    "person's or a company's names, and make the same source give different files.",
    "HARD-PATH-SOURCE": "Absolute paths of source files are in the library, as its compiler, its container or its "
    "package manager has them: the same source gives another file elsewhere.",
    "HARD-RELRO": "The table of function addresses stays writable while the program runs.",
    "HARD-BIND-NOW": "Function addresses are looked up at the first call, so their table must stay writable.",
    "HARD-CANARY": "No function of a library checks whether the stack was overrun before it returns.",
    "HARD-FORTIFY": "The C library's functions are called, and never with the checks of buffers and formats that it "
    "offers.",
    "HARD-CET": "The code is not marked for shadow stacks.",
    "HARD-CANNOT": "A protection is missing that the wheel's compiler or its language cannot give; the message says "
    "why.",
}
"""What each code means."""

_SHOWN = 3
_MANY = 50
_RUST = "stable Rust has no stack protector; safe Rust checks each index"
_RUST_CALLS = "Rust calls the C library without its headers, in which the checks are"
_ALWAYS = frozenset(
    ("dprintf", "fprintf", "longjmp", "printf", "snprintf", "sprintf", "syslog", "vfprintf", "vsnprintf", "vsprintf")
)
"""Functions that the compiler replaces by their checked twin wherever they are called; others, such as memcpy, it does
not where it cannot tell the buffer's size."""


def check(facts: Facts) -> Iterator[Finding]:
    """Yield what makes the wheel's code easier to misuse, or harmful."""
    for path, elf in facts.libraries.items():
        yield from _faults(path, elf, facts)
    if facts.libraries:
        yield from _missing(facts)


def _faults(path: str, elf: ElfFacts, facts: Facts) -> Iterator[Finding]:
    if elf.executable_stack:
        message = "it asks for an executable stack, or does not say that it needs none"
        yield Finding(code="HARD-STACK", where=path, message=message, hint="link with -z noexecstack")
    if elf.writable_code:
        message = "one of its segments can be written and run"
        yield Finding(
            code="HARD-WRITABLE-CODE", where=path, message=message, hint="link with -z separate-code, and without -N"
        )
    if elf.text_relocations:
        message = "the loader must write into its code"
        yield Finding(code="HARD-TEXTREL", where=path, message=message, hint="compile everything with -fPIC")
    code = facts.code.get(path)
    function = (code.fast_math if code else "") or ("set_fast_math" if elf.fast_math_startup else "")
    # A program changes its own process alone.
    if function and ".so" in PurePosixPath(path).name:
        message = f"{function} changes the floating-point mode of the process that loads it"
        yield Finding(code="HARD-FAST-MATH", where=path, message=message, hint="link without -ffast-math")
    for name, paths, count in (
        ("HARD-PATH", elf.private_paths, elf.private_path_count),
        ("HARD-PATH-SOURCE", elf.source_paths, elf.source_path_count),
    ):
        if paths:
            more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
            message = f"it holds {', '.join(paths[:_SHOWN])}{more}"
            hint = "compile with -ffile-prefix-map (Rust: --remap-path-prefix)"
            yield Finding(code=name, where=path, message=message, hint=hint)


class _Lack(NamedTuple):
    """What several libraries of a wheel are without.

    Attributes:
        code: which finding it is.
        paths: the libraries.
        looked: how many were looked at.
        what: says it, after their number.
        hint: what to do.
        share: how much of the whole wheel has it.
        reason: why it cannot be had; empty where it can.
    """

    code: str
    paths: list[str]
    looked: int
    what: str
    hint: str
    share: str = ""
    reason: str = ""


def _missing(facts: Facts) -> Iterator[Finding]:
    """Yield one finding a kind for the whole wheel: these are many, and alike."""
    cannot = hardening().of(facts.declared.compiler).cannot if facts.declared else {}
    where = facts.wheel.path.name
    for lack in (*_links(facts), *_canaries(facts), *_shadows(facts), *_twins(facts)):
        message = f"{len(lack.paths)} of {lack.looked} libraries {lack.what}, the first is {', '.join(lack.paths[:1])}"
        reason = lack.reason or cannot.get(lack.code, "")
        if lack.paths and reason:
            told = f"{lack.code}: {message}; {reason}"
            yield Finding(code="HARD-CANNOT", where=where, message=told, hint="nothing; it is told so that it is known")
        elif lack.paths:
            yield Finding(code=lack.code, where=where, message=f"{message}{lack.share}", hint=lack.hint)


def _links(facts: Facts) -> Iterator[_Lack]:
    libraries = facts.libraries
    without = [path for path, elf in libraries.items() if elf.relro == "none"]
    yield _Lack("HARD-RELRO", without, len(libraries), "leave that table writable", "link with -z relro")
    late = [path for path, elf in libraries.items() if elf.relro == "partial"]
    yield _Lack("HARD-BIND-NOW", late, len(libraries), "look functions up at the first call", "link with -z now")


def _canaries(facts: Facts) -> Iterator[_Lack]:
    # Other machines have other means, and their code was not read.
    libraries = facts.libraries
    codes = {path: code for path, code in facts.code.items() if path in libraries and _is_x86_64(libraries[path])}
    # A small library may have no function with an array, and only those get a check.
    bare = [path for path, code in codes.items() if not code.canaries and code.functions >= _MANY]
    what = "have no function that checks the stack"
    rust = [path for path in bare if libraries[path].rust]
    yield _Lack("HARD-CANARY", rust, len(codes), what, "", reason=_RUST)
    functions = sum(code.functions for code in codes.values())
    share = _share(sum(code.canaries for code in codes.values()), functions, "functions do")
    others = [path for path in bare if path not in rust]
    yield _Lack("HARD-CANARY", others, len(codes), what, "compile with -fstack-protector-strong", share)


def _shadows(facts: Facts) -> Iterator[_Lack]:
    marks = {path: elf.shstk for path, elf in facts.libraries.items() if _is_x86_64(elf)}
    unmarked = [path for path, marked in marks.items() if not marked]
    codes = [code for path, code in facts.code.items() if path in marks]
    functions = sum(code.functions for code in codes)
    share = _share(sum(code.endbr for code in codes), functions, "functions begin with endbr64")
    hint = "compile with -fcf-protection, and link with -z shstk where the start files are not marked"
    yield _Lack("HARD-CET", unmarked, len(marks), "are not marked", hint, share)


def _twins(facts: Facts) -> Iterator[_Lack]:
    libraries = facts.libraries
    plain = [path for path, elf in libraries.items() if not elf.fortified and not _ALWAYS.isdisjoint(elf.unfortified)]
    checked = sum(len(elf.fortified) for elf in libraries.values())
    unchecked = sum(len(elf.unfortified) for elf in libraries.values())
    share = _share(checked, checked + unchecked, "such functions are called with it")
    what, hint = "call no function with its check", "compile with -O2 -D_FORTIFY_SOURCE=3"
    rust = [path for path in plain if libraries[path].rust]
    yield _Lack("HARD-FORTIFY", rust, len(libraries), what, "", reason=_RUST_CALLS)
    others = [path for path in plain if path not in rust]
    yield _Lack("HARD-FORTIFY", others, len(libraries), what, hint, share)


def _is_x86_64(elf: ElfFacts) -> bool:
    return elf.machine == "EM_X86_64"


def _share(part: int, whole: int, what: str) -> str:
    """Return what share of the whole wheel's functions is as it should be; nothing where none was looked at."""
    return f"; in the whole wheel {100 * part / whole:.0f} % of {whole} {what}" if whole else ""
