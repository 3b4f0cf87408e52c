"""Named rules for code that is chosen at run time."""

from __future__ import annotations

import fnmatch
import functools
import re
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from truewheel.binary.code import CodeFacts, Kernel
from truewheel.binary.decode import UNNAMED
from truewheel.binary.guards import GUARDED
from truewheel.decoding import load_table

GUARD_RULE = "cpuid-guarded"
SUFFIX_RULE = "named for it"
DISPATCH_RULE = "dispatched library"
RULE_TEXTS = {
    GUARD_RULE: "reached only through functions that ask the CPU, look at what such a function stored, or are chosen "
    "by the loader (ifunc, target_clones)",
    SUFFIX_RULE: "the function's name says which CPU it is for, and the library asks the CPU",
    DISPATCH_RULE: "the wheel declares the library as a backend for CPUs with these features, and its import guard "
    "loads none that the CPU cannot run",
}
"""What the rules say that are not in the data file."""

_V2 = ("sse3", "ssse3", "sse4_1", "sse4_2", "popcnt", "cx16")
_V3 = (*_V2, "avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "abm", "movbe")
_ANY = "\\w*"
_SUFFIXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        r"avx_?512\w*|skylakex?|cascadelake|cooperlake|ice|icelake\w*|sapphire\w*|genoa|turin|zen[45]|v4|vnni\w*|amx\w*",
        ("*",),
    ),
    (r"avx_?vnni\w*|alderlake|sierra", (*_V3, "avx_vnni", "avx_vnni_int8", "avx_vnni_int16", "avx_ne_convert")),
    (r"vaes\w*|vpclmul\w*", (*_V3, "aes", "vaes", "pclmulqdq", "vpclmulqdq", "avx512f", "avx512vl", "avx512bw")),
    (r"avx_?2\w*|haswell|broadwell|zen[123]?|v3|fma3?|excavator", (*_V3, "aes", "pclmulqdq")),
    (r"fma4|xop|bulldozer|piledriver|steamroller", (*_V2, "avx", "fma4", "xop", "fma", "f16c", "tbm", "bmi1", "abm")),
    (r"avx|sandybridge|ivybridge", (*_V2, "avx", "f16c", "aes", "pclmulqdq")),
    (r"bmi2?|adx|mulx\w*", ("bmi1", "bmi2", "abm", "adx")),
    (r"sse_?4_?[12]?|sse42|sse41|nehalem|westmere|v2|crc32\w*", (*_V2, "pclmulqdq", "aes")),
    (r"ssse3", ("sse3", "ssse3")),
    (r"sse3|prescott", ("sse3",)),
    (r"aesni|aes_?ni|aes", (*_V2, "aes", "pclmulqdq", "avx")),
    (r"pclmul\w*|clmul\w*", (*_V2, "aes", "pclmulqdq", "avx")),
    (r"sha_?ni|shaext|sha", (*_V2, "sha_ni")),
    (r"f16c", ("avx", "f16c")),
    (r"popcnt|lzcnt", ("popcnt", "abm")),
    (r"rdrand|rdseed", ("rdrand", "rdseed")),
)
"""What a word in a function's name says that it may need."""
_WORD = tuple(
    (
        # A word of its own: behind a mark, a mangled name's length, or small letters when it is in capitals.
        re.compile(rf"(?:^|[._@\d])(?:{words})(?=$|[._@]|[A-Z]|\d+[A-Z_])"),
        re.compile(rf"(?:^|[._@\da-z])(?:{words.upper().replace(_ANY.upper(), _ANY)})(?=$|[._@EI])"),
        frozenset(features),
    )
    for words, features in _SUFFIXES
)

_HINT = re.compile("|".join(words.replace(_ANY, "") for words, _ in _SUFFIXES), re.IGNORECASE)
"""What a name must hold at all; nearly none does, and asking once is cheaper than asking for each word."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule of `isa_rules.toml`; the file says what the keys mean."""

    name: str
    what: str
    contains: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    functions: str = ""
    unnamed: bool = True
    features: tuple[str, ...] = ()
    most: float = 1.0


class _Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal[1]
    rule: tuple[Rule, ...]


@functools.cache
def isa_rules() -> tuple[Rule, ...]:
    """Return the rules of the data file."""
    return load_table("truewheel.examine", "isa_rules.toml", _Rules).rule


def needles() -> dict[str, tuple[str, ...]]:
    """Return the texts that show which rules a library may be under, by rule."""
    return {rule.name: rule.contains for rule in isa_rules()}


def rule_text(name: str) -> str:
    """Return why a rule lets code through."""
    return RULE_TEXTS.get(name) or next((rule.what for rule in isa_rules() if rule.name == name), "")


def find_rule(path: str, code: CodeFacts, marks: tuple[str, ...], kernel: Kernel) -> str:
    """Return the name of the rule that lets a function through, or an empty text.

    Args:
        path: the library's path in the wheel.
        code: the library's code.
        marks: rules whose texts are in the library.
        kernel: the function.
    """
    features = frozenset(kernel.features)
    if code.asks and says_so(kernel.name, features):
        return SUFFIX_RULE
    if kernel.standing == GUARDED:
        return GUARD_RULE
    for rule in isa_rules():
        if rule.name in marks and _fits(rule, path, code, kernel, features):
            return rule.name
    return ""


@functools.lru_cache(maxsize=1 << 18)
def says_so(name: str, features: frozenset[str]) -> bool:
    """Tell whether a function's name says that it needs these features."""
    allowed: set[str] = set()
    if not _HINT.search(name):
        return False
    for small, capital, granted in _WORD:
        if small.search(name) or capital.search(name):
            allowed |= granted
    return "*" in allowed or (bool(allowed) and features <= allowed)


def _fits(rule: Rule, path: str, code: CodeFacts, kernel: Kernel, features: frozenset[str]) -> bool:
    file = PurePosixPath(path).name
    if rule.libraries and not any(fnmatch.fnmatchcase(file, pattern) for pattern in rule.libraries):
        return False
    if rule.features and not features <= set(rule.features):
        return False
    if UNNAMED in kernel.name:
        if rule.functions and not rule.unnamed:
            return False
    elif rule.functions:
        if not re.search(rule.functions, kernel.name):
            return False
    elif not rule.libraries:
        # Somebody else's function, by its name, in a file that has this library linked in.
        return False
    return len(code.kernels) + code.more <= rule.most * code.functions
