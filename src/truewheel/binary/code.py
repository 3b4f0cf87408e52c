"""The facts of a library's machine code: what it needs, where, and whether somebody asks the CPU first."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from truewheel.allowance import Allowance
from truewheel.binary import headers
from truewheel.binary.decode import (
    GAP,
    LABEL,
    SYMBOL,
    Piece,
    Stretch,
    code_table,
    decode_all,
    features_of,
    find_stretches,
    first_uses,
    is_doubtful,
    without_doubt,
)
from truewheel.binary.guards import DETECTION_SYMBOLS, OPEN, find_standings
from truewheel.binary.image import ElfImage, is_function, is_label, is_resolver
from truewheel.binary.places import Places

MAX_KERNELS = 50_000
_EXAMPLES = 3
_PIECE_COST = 512
_ENDBR = b"\xf3\x0f\x1e\xfa"
_CANARY = re.compile(rb"\x64[\x48\x4c][\x8b\x33\x2b\x3b\x03].\x25\x28\x00\x00\x00", re.DOTALL)
_RELATIVE = 8


class Kernel(msgspec.Struct, frozen=True):
    """A function that needs more than plain x86-64.

    Attributes:
        name: its symbol, or section and address.
        address: where it begins.
        features: what it needs.
        standing: `open`, `guarded` or `unreached`, see `guards`.
        exported: whether others may call it by name.
    """

    name: str
    address: int
    features: tuple[str, ...]
    standing: str
    exported: bool = False


class Example(msgspec.Struct, frozen=True):
    """One instruction that needs a feature: in which function, at which address, how it reads."""

    feature: str
    function: str
    address: int
    text: str
    standing: str


class CodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the executable code of one library needs.

    Attributes:
        functions: how many stretches of code were decoded.
        named: how many of them a symbol names.
        bytes: bytes decoded.
        skipped: bytes in executable sections that are data.
        kernels: functions that need more than plain x86-64, at most `MAX_KERNELS`.
        more: how many beyond that.
        examples: a few instructions for each feature and standing.
        asks: some functions that ask CPUID, or that the loader lets choose.
        maybe_tzcnt: functions with an instruction that is tzcnt, or bsf on a CPU without BMI1, with one result.
        fast_math: the start-up function that loads another floating-point mode; empty if there is none.
        endbr: functions that begin with endbr64.
        canaries: functions that look at the stack's canary.
    """

    functions: int
    named: int
    bytes: int
    skipped: int
    kernels: tuple[Kernel, ...]
    more: int
    examples: tuple[Example, ...]
    asks: tuple[str, ...]
    maybe_tzcnt: int
    fast_math: str
    endbr: int
    canaries: int


def read_code(image: ElfImage) -> CodeFacts:
    """Disassemble every executable section of a 64-bit x86 library."""
    stretches = find_stretches(image)
    pieces = list(_charged(image.allowance, decode_all(image, stretches)))
    places = [piece.stretch for piece in pieces]
    table = code_table()
    asking = {index for index, piece in enumerate(pieces) if piece.codes & table.asks}
    wanted = {index: features for index, piece in enumerate(pieces) if (features := features_of(piece))}
    doubtful = {index for index, features in wanted.items() if is_doubtful(features)}
    for index in list(doubtful):
        rest = without_doubt(wanted[index])
        if any(use.feature == "bmi1" for use in first_uses(image, places[index])):
            rest |= {"bmi1"}
            doubtful.discard(index)
        if rest:
            wanted[index] = rest
        else:
            del wanted[index]
    resolvers = _resolvers(image)
    standings, data = _judge(image, pieces, wanted, asking, resolvers)
    exported = {symbol.value for symbol in image.symbols(dynamic=True) if is_function(symbol) or is_label(symbol)}
    kernels = [
        Kernel(
            places[index].name,
            places[index].start,
            tuple(sorted(features)),
            standings.get(index, OPEN),
            places[index].start in exported,
        )
        for index, features in sorted(wanted.items())
        if index not in data
    ]
    return CodeFacts(
        functions=len(pieces),
        named=sum(stretch.origin in (SYMBOL, LABEL) for stretch in places),
        bytes=sum(stretch.end - stretch.start for stretch in places),
        skipped=sum(piece.skipped for piece in pieces) + sum(places[index].end - places[index].start for index in data),
        kernels=tuple(kernels[:MAX_KERNELS]),
        more=max(0, len(kernels) - MAX_KERNELS),
        examples=tuple(_examples(image, kernels, {stretch.start: stretch for stretch in places})),
        asks=tuple([places[index].name for index in sorted(asking)][:10] + resolvers[:10]),
        maybe_tzcnt=len(doubtful),
        fast_math=_fast_math(image, pieces),
        endbr=sum(image.read(stretch.start, 4) == _ENDBR for stretch in places if stretch.origin != GAP),
        canaries=_count_canaries(image, places),
    )


def _charged(allowance: Allowance, pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Pass pieces on, and charge each for what is kept of it: a file of nothing but returns has one a byte."""
    for piece in pieces:
        allowance.spend(_PIECE_COST + piece.stretch.end - piece.stretch.start)
        yield piece


def _resolvers(image: ElfImage) -> list[str]:
    symbols = [*image.symbols(dynamic=True), *image.symbols(dynamic=False)]
    found = [symbol.name for symbol in symbols if is_resolver(symbol) and symbol.defined]
    found += [symbol.name for symbol in symbols if symbol.name in DETECTION_SYMBOLS and not symbol.defined]
    if not found and any(relocation.kind == 37 for relocation in image.relocations()):  # noqa: PLR2004 - R_X86_64_IRELATIVE
        found = ["(resolvers without names)"]
    return sorted(set(found))


def _judge(
    image: ElfImage, pieces: list[Piece], wanted: dict[int, frozenset[str]], asking: set[int], resolvers: list[str]
) -> tuple[dict[int, str], set[int]]:
    """Return the standing of each piece, and which of the wanted ones nothing leads to and so are data.

    Where nothing in the library asks the CPU, everything is open.
    """
    places = [piece.stretch for piece in pieces]
    found_otherwise = any(stretch.origin != GAP for stretch in places)
    gaps = {index for index in wanted if places[index].origin == GAP and found_otherwise}
    if not wanted or not (gaps or asking or resolvers):
        return {}, set()
    standings, named = find_standings(image, places, asking, set(wanted))
    data = {
        index
        for index in gaps
        if not any(address in named for address in range(places[index].start, places[index].end))
    }
    return (standings if asking or resolvers else {}), data


def _examples(image: ElfImage, kernels: list[Kernel], places: dict[int, Stretch]) -> list[Example]:
    counts: dict[tuple[str, str], int] = {}
    examples = []
    for kernel in kernels:
        missing = [feature for feature in kernel.features if counts.get((feature, kernel.standing), 0) < _EXAMPLES]
        if not missing:
            continue
        for use in first_uses(image, places[kernel.address]):
            if use.feature in missing:
                key = (use.feature, kernel.standing)
                counts[key] = counts.get(key, 0) + 1
                examples.append(Example(use.feature, kernel.name, use.address, use.text, kernel.standing))
    return examples


def _fast_math(image: ElfImage, pieces: list[Piece]) -> str:
    """Return the start-up function that loads the floating-point mode, as gcc's crtfastmath does."""
    tags = image.dynamic_tags()
    if headers.DT_INIT_ARRAY not in tags or headers.DT_INIT_ARRAYSZ not in tags:
        return ""
    start = tags[headers.DT_INIT_ARRAY][0]
    slots = range(start, start + min(tags[headers.DT_INIT_ARRAYSZ][0], 1 << 16), 8)
    targets = {relocation.addend for relocation in image.relocations() if relocation.slot in slots}
    mode = code_table().floating_point_mode
    places = Places([(piece.stretch.start, piece.stretch.end) for piece in pieces])
    for target in sorted(targets):
        index = places.find(target)
        if index >= 0 and pieces[index].codes & mode:
            return pieces[index].stretch.name
    return ""


def _count_canaries(image: ElfImage, stretches: list[Stretch]) -> int:
    places = Places([(stretch.start, stretch.end) for stretch in stretches])
    found: set[int] = set()
    for part in image.executable_ranges():
        for match in _CANARY.finditer(image.data, part.offset, part.offset + part.size):
            found.add(places.find(match.start() - part.offset + part.address))
    return len(found - {-1})
