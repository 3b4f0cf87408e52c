"""A planted violation for every code of the checks of links and of hardening."""

from collections.abc import Callable

from factories import LIBRARY, make_code, make_elf, make_facts, make_wheel

from truewheel.binary.elf import Undefined
from truewheel.examine.facts import Facts

SECOND = "toy_engine/lib/libsecond.so"


def name_for(platform):
    """Return the file name of a wheel for a platform."""
    return f"toy_engine-1.2.3-1-py3-none-{platform}.whl"


def library(**changes):
    """Return facts of a wheel of ours with one library."""
    return make_facts(libraries={LIBRARY: make_elf(**changes)})


def foreign(platform, libraries=None, **changes):
    """Return facts of somebody else's wheel for a platform: of these libraries, or of one with these changes."""
    libraries = libraries or {LIBRARY: make_elf(**{"isa_level": "", **changes})}
    return make_facts(plan=None, libraries=libraries, wheel=make_wheel(name_for(platform)))


def bring(*names, folder="toy_engine.libs", isa_level=""):
    """Return libraries that a wheel brings, each under its own name; in wheels of ours with the note of their level."""
    return {f"{folder}/{name}": make_elf(soname=name, needed=("libc.so.6",), isa_level=isa_level) for name in names}


def _two_copies():
    first, second = "libgomp-11111111.so.1.0.0", "libgomp-22222222.so.1"
    return foreign(
        "manylinux_2_28_x86_64",
        {
            LIBRARY: make_elf(needed=(first, "libc.so.6"), isa_level=""),
            SECOND: make_elf(soname="libsecond.so", needed=(second, "libc.so.6"), isa_level=""),
            **bring(first, second),
        },
    )


def _not_allowed():
    policy = {
        "overall_tag": "manylinux_2_28_x86_64",
        "sym_tag": "manylinux_2_17_x86_64",
        "policy_upgrades": {"manylinux_2_17_x86_64": {"blacklisted_symbols": {"libz.so.1": ["inflate_table"]}}},
    }
    return foreign("manylinux_2_17_x86_64")._replace(policy=policy)


def _code(**changes):
    return make_facts(code={LIBRARY: make_code(**changes)})


PLANTED_LINKAGE: dict[str, Callable[[], Facts]] = {
    "LINK-DAMAGED": lambda: make_facts(damaged={"toy_engine/lib/cut.so": "damaged ELF file"}),
    "LINK-MISSING": lambda: library(needed=("libopenblas.so.0", "libc.so.6")),
    "LINK-SSL": lambda: library(needed=("libssl.so.3", "libc.so.6")),
    "LINK-RPATH": lambda: library(runpath=("$ORIGIN", "/tmp/build/lib")),
    "LINK-OPENMP-TWICE": lambda: make_facts(
        libraries={
            LIBRARY: make_elf(needed=("libgomp.so.1", "libomp.so")),
            **bring("libgomp.so.1", "libomp.so", folder="toy_engine/lib", isa_level="x86-64-v3"),
        }
    ),
    "LINK-TWICE": _two_copies,
    "LINK-VERSION": lambda: foreign("manylinux_2_17_x86_64", versions={"libc.so.6": ("GLIBC_2.17", "GLIBC_2.34")}),
    "LINK-POLICY": _not_allowed,
    "LINK-UNDEFINED": lambda: foreign("manylinux_2_34_x86_64", undefined=(Undefined("__isoc23_strtol"),)),
    "LINK-UNTOLD": lambda: foreign(
        "manylinux_2_17_x86_64", needed=("libX11.so.6", "libc.so.6"), undefined=(Undefined("XOpenDisplay"),)
    ),
    "LINK-NOTE": lambda: library(isa_level="x86-64-v2"),
    "HARD-STACK": lambda: library(executable_stack=True),
    "HARD-WRITABLE-CODE": lambda: library(writable_code=True),
    "HARD-TEXTREL": lambda: library(text_relocations=True),
    "HARD-FAST-MATH": lambda: library(fast_math_startup=True),
    "HARD-PATH": lambda: library(private_paths=("/home/ann/toy/dot.c",), private_path_count=1),
    "HARD-PATH-SOURCE": lambda: library(source_paths=("/builddir/toy/dot.c",), source_path_count=1),
    "HARD-RELRO": lambda: library(relro="none"),
    "HARD-BIND-NOW": lambda: library(relro="partial"),
    "HARD-CANARY": lambda: _code(canaries=0),
    "HARD-FORTIFY": lambda: library(unfortified=("memcpy", "printf")),
    "HARD-CET": lambda: library(shstk=False),
    "HARD-CANNOT": lambda: make_facts(libraries={LIBRARY: make_elf(rust=True)}, code={LIBRARY: make_code(canaries=0)}),
}
"""Facts by the code that they must give."""
