"""Which release of the C and C++ run-time libraries first defined a symbol, and what a manylinux tag allows of them."""

from __future__ import annotations

import functools
from importlib import resources

import msgspec

from truewheel.decoding import load_table


class _Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One manylinux policy, as `policies.toml` describes it."""

    glibc: tuple[int, int]
    glibcxx: tuple[int, ...]
    cxxabi: tuple[int, ...]
    gcc: tuple[int, ...]
    named: tuple[str, ...] = ()


class _Policies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    policy: tuple[_Policy, ...]


def first_version(symbol: str) -> str:
    """Return the oldest version that defines `symbol`, e.g. `GLIBC_2.38`, or nothing when it is not in the table.

    The C++ symbols that every manylinux policy allows are not in the table.
    """
    return _table().get(symbol, "")


def allowed_versions(glibc: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Return the newest version of each family that a wheel with this glibc floor may use.

    The families are GLIBC, GLIBCXX, CXXABI and GCC. GLIBC is the floor itself; the others are those of the newest
    policy that asks for no newer glibc, and empty below the oldest policy, which promises none of them.
    """
    policy = _policy(glibc)
    if policy is None:
        return {"GLIBC": glibc, "GLIBCXX": (), "CXXABI": (), "GCC": ()}
    return {"GLIBC": glibc, "GLIBCXX": policy.glibcxx, "CXXABI": policy.cxxabi, "GCC": policy.gcc}


def is_allowed(version: str, glibc: tuple[int, int]) -> bool:
    """Tell whether a wheel with this glibc floor may use a symbol version, e.g. `GLIBCXX_3.4.29` or `CXXABI_TM_1`."""
    family, _, number = version.partition("_")
    parts = number.split(".")
    if not all(part.isdecimal() for part in parts):
        policy = _policy(glibc)
        return policy is not None and version in policy.named
    return tuple(map(int, parts)) <= allowed_versions(glibc).get(family, ())


@functools.cache
def _table() -> dict[str, str]:
    """Return the version of each symbol of `runtime_symbols.txt`."""
    text = resources.files("truewheel.binary").joinpath("runtime_symbols.txt").read_text(encoding="ascii")
    table: dict[str, str] = {}
    version = ""
    for line in text.splitlines():
        if line.endswith(":"):
            version = line[:-1]
        elif line and not line.startswith("#"):
            table[line] = version
    return table


@functools.cache
def _policies() -> tuple[_Policy, ...]:
    """Return the policies, from the oldest glibc to the newest."""
    return tuple(
        sorted(load_table("truewheel.binary", "policies.toml", _Policies).policy, key=lambda policy: policy.glibc)
    )


def _policy(glibc: tuple[int, int]) -> _Policy | None:
    """Return the newest policy that a machine with this glibc fulfils."""
    return next((policy for policy in reversed(_policies()) if policy.glibc <= glibc), None)
