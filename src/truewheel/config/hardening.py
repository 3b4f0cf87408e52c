"""How every build is hardened, and what a compiler cannot do."""

from __future__ import annotations

import functools

import msgspec

from truewheel.decoding import load_table


class CompilerHardening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is particular to one compiler.

    Attributes:
        link: more flags of its linker.
        cannot: codes of the check that its wheels cannot avoid, and why.
    """

    link: tuple[str, ...] = ()
    cannot: dict[str, str] = {}


class Hardening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How every build is hardened, as `hardening.toml` says it.

    Attributes:
        compile: flags of C and C++.
        link: flags of the linker for shared libraries.
        bare: flags of C for what is linked without any run-time library.
        compiler: what is particular to one, by its kind.
    """

    compile: tuple[str, ...]
    link: tuple[str, ...]
    bare: tuple[str, ...]
    compiler: dict[str, CompilerHardening] = {}

    def link_flags(self, kind: str) -> tuple[str, ...]:
        """Return all flags of a compiler's linker."""
        return (*self.link, *self.of(kind).link)

    def of(self, kind: str) -> CompilerHardening:
        """Return what is particular to a kind of compiler; nothing where it is not known."""
        return self.compiler.get(kind, CompilerHardening())


@functools.cache
def hardening() -> Hardening:
    """Return how every build is hardened."""
    return load_table("truewheel.config", "hardening.toml", Hardening)
