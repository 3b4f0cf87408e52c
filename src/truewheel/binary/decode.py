"""Machine code to CPU features, function by function, with iced-x86."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from truewheel.binary.image import ElfImage, is_function, is_label
from truewheel.binary.places import Range
from truewheel.decoding import load_table

_PADDING = b"\x00\x90\xcc\x66\x2e\x0f\x1f\x84\x40\x80\x44"
"""What functions are aligned with: zeros, breakpoints, and the bytes of long no-operations."""
_ALIGNMENT = 16
_CODE_COST = 8
"""Units of work for a byte that is decoded."""
_TZCNT = "bmi1?"
"""What a tzcnt counts as until the code around it tells: gcc writes it for bsf, for every CPU, with one result."""


UNNAMED = "@0x"
"""Stands in the name of code that no symbol names, before its address."""
SYMBOL, FRAME, LABEL, GAP = "symbol", "frame", "label", "gap"
_START_FILES = dict.fromkeys(
    ("frame_dummy", "register_tm_clones", "deregister_tm_clones", "__do_global_dtors_aux"), _ALIGNMENT
)
"""Functions of the compiler's start files have no size; what follows them is somebody else's."""
_COMPANIONS = frozenset(("abm", "bmi1", "bmi2"))
"""A compiler that uses one of these in a function means tzcnt when it writes tzcnt."""


class Stretch(NamedTuple):
    """A stretch of code.

    Attributes:
        start: its first address.
        end: the address behind it.
        name: a symbol's, or one made of section and address.
        origin: how it was found: by a `symbol`, by a `label`, into which what comes before it may run, by the
            unwinder's `frame`, or in a `gap` between those.
    """

    start: int
    end: int
    name: str
    origin: str


class Piece(NamedTuple):
    """What the code of one stretch uses.

    Attributes:
        stretch: where it is.
        codes: the decoder's instruction codes in it.
        skipped: bytes that are data rather than code.
    """

    stretch: Stretch
    codes: frozenset[int]
    skipped: int


class _Needs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    baseline: tuple[str, ...]
    feature: dict[str, str]
    ignored: dict[str, str]


class CodeTable(NamedTuple):
    """What each of the decoder's instruction codes means.

    Attributes:
        features: CPU features beyond plain x86-64 by code; codes that need none are not in it.
        branches: codes of near branches and calls.
        calls: codes of calls.
        ends: codes after which code does not go on.
        asks: codes that ask what CPU this is.
        reads: codes that only read their first operand.
        takes: codes that take an address.
        floating_point_mode: codes that load the floating-point mode.
        carry: codes that look at the carry flag alone.
        invalid: the code of bytes that are no instruction.
    """

    features: dict[int, frozenset[str]]
    branches: frozenset[int]
    calls: frozenset[int]
    ends: frozenset[int]
    asks: frozenset[int]
    reads: frozenset[int]
    takes: frozenset[int]
    floating_point_mode: frozenset[int]
    carry: frozenset[int]
    invalid: int


def load_needs() -> _Needs:
    """Return the table that maps the decoder's feature names to ours."""
    return load_table("truewheel.binary", "needs.toml", _Needs)


@functools.cache
def code_table() -> CodeTable:
    """Return what every instruction code means; made once from the decoder's own tables."""
    from iced_x86 import Code, CpuidFeature, Instruction, Mnemonic

    needs = load_needs()
    plain = {*needs.baseline, *needs.ignored}
    names = {getattr(CpuidFeature, name): name for name in dir(CpuidFeature) if name[:1].isupper()}
    features: dict[int, frozenset[str]] = {}
    groups: dict[str, set[int]] = {name: set() for name in CodeTable._fields if name not in ("features", "invalid")}
    for code in _all_codes(Code):
        instruction = Instruction()
        instruction.code = code  # type: ignore[assignment]
        told = [names[feature] for feature in instruction.cpuid_features()]
        beyond = frozenset(needs.feature.get(name, name.lower()) for name in told if name not in plain)
        if beyond:
            features[code] = beyond
        if instruction.mnemonic == Mnemonic.TZCNT:
            features[code] = frozenset([_TZCNT])
        for name in _groups_of(instruction):
            groups[name].add(code)
    return CodeTable(
        features=features, invalid=Code.INVALID, **{name: frozenset(found) for name, found in groups.items()}
    )


def _groups_of(instruction: Any) -> Iterator[str]:
    """Yield the fields of the table that an instruction belongs to."""
    from iced_x86 import ConditionCode, FlowControl, Mnemonic

    flow, mnemonic = instruction.flow_control, instruction.mnemonic
    by_flow = {
        FlowControl.CALL: ("branches", "calls"),
        FlowControl.INDIRECT_CALL: ("calls",),
        FlowControl.UNCONDITIONAL_BRANCH: ("branches", "ends"),
        FlowControl.CONDITIONAL_BRANCH: ("branches",),
        FlowControl.RETURN: ("ends",),
        FlowControl.INDIRECT_BRANCH: ("ends",),
    }
    yield from by_flow.get(flow, ())
    by_mnemonic = {
        Mnemonic.UD2: "ends",
        Mnemonic.HLT: "ends",
        Mnemonic.CPUID: "asks",
        Mnemonic.XGETBV: "asks",
        Mnemonic.LEA: "takes",
        Mnemonic.LDMXCSR: "floating_point_mode",
        Mnemonic.VLDMXCSR: "floating_point_mode",
        Mnemonic.ADC: "carry",
        Mnemonic.SBB: "carry",
        **dict.fromkeys(
            (
                Mnemonic.CMP,
                Mnemonic.TEST,
                Mnemonic.BT,
                Mnemonic.PUSH,
                Mnemonic.CALL,
                Mnemonic.JMP,
                Mnemonic.UCOMISD,
            ),
            "reads",
        ),
    }
    if mnemonic in by_mnemonic:
        yield by_mnemonic[mnemonic]
    if instruction.condition_code in (ConditionCode.B, ConditionCode.AE):
        yield "carry"


def _all_codes(table: Any) -> Iterable[int]:
    return sorted({value for name in dir(table) if isinstance(value := getattr(table, name), int)})


class _Start(NamedTuple):
    """Where code may begin: how long it says that it is (0 for unknown), its name, and how it was found."""

    size: int
    name: str
    origin: str


def find_stretches(image: ElfImage) -> list[Stretch]:
    """Return all executable code as stretches, sorted: by symbols, then by the unwinder's frames, then what is left."""
    starts = _find_starts(image)
    order = sorted(starts)
    stretches: list[Stretch] = []
    for part in image.executable_ranges():
        first = bisect.bisect_left(order, part.address)
        last = bisect.bisect_left(order, part.address + part.size)
        stretches += _cut(part, order[first:last], starts)
    return stretches


def _find_starts(image: ElfImage) -> dict[int, _Start]:
    starts = {start: _Start(size, "", FRAME) for start, size in image.frames()}
    for dynamic in (False, True):
        symbols = [symbol for symbol in image.symbols(dynamic=dynamic) if symbol.value]
        for symbol in symbols:
            # In the full table these are an assembler's jump targets, inside functions of which nothing tells the size.
            if dynamic and is_label(symbol):
                starts.setdefault(symbol.value, _Start(symbol.size, symbol.name, LABEL))
        for symbol in symbols:
            if is_function(symbol):
                known = starts.get(symbol.value)
                size = symbol.size or (known.size if known else 0)
                starts[symbol.value] = _Start(size or _START_FILES.get(symbol.name, 0), symbol.name, SYMBOL)
    return starts


def _cut(part: Range, order: list[int], starts: dict[int, _Start]) -> Iterator[Stretch]:
    """Yield one range of code as stretches: what begins somewhere, and the gaps between."""
    at, before, end = part.address, "", part.address + part.size
    # A label inside a function is passed over: what comes before it runs into it.
    inside = 0
    kept = []
    for start in order:
        if starts[start].origin != LABEL or start >= inside:
            kept.append(start)
            inside = max(inside, start + starts[start].size)
    for position, start in enumerate(kept):
        found = starts[start]
        following = kept[position + 1] if position + 1 < len(kept) else end
        stop = min(start + found.size, following, end) if found.size else min(following, end)
        if start > at:
            yield Stretch(at, start, _place(part, at, before), GAP)
        before = found.name or _place(part, start, "")
        yield Stretch(start, stop, before, found.origin)
        at = max(at, stop)
    if at < end:
        yield Stretch(at, end, _place(part, at, before), GAP)


def _place(part: Range, address: int, after: str) -> str:
    return f"{after or part.name}{UNNAMED}{address:x}"


def decode_all(image: ElfImage, stretches: list[Stretch]) -> Iterator[Piece]:
    """Decode every stretch and yield what it uses; bytes that are no code are counted, not guessed at."""
    from iced_x86 import Decoder

    table = code_table()
    data = image.data
    offsets = [(part.address, part.address + part.size, part.offset) for part in image.executable_ranges()]
    current = 0
    for stretch in stretches:
        while not offsets[current][0] <= stretch.start < offsets[current][1]:
            current += 1
        base = offsets[current][2] - offsets[current][0]
        code = data[base + stretch.start : base + stretch.end]
        image.allowance.spend(_CODE_COST * len(code))
        if stretch.origin == GAP and not code.translate(None, _PADDING):
            continue
        if stretch.origin == LABEL:
            yield from _decode_label(code, stretch)
            continue
        codes = frozenset({instruction.code for instruction in Decoder(64, code, ip=stretch.start)})
        if table.invalid in codes:
            yield from _runs(code, stretch)
        else:
            yield Piece(stretch, codes, 0)


def _decode_label(code: bytes, stretch: Stretch) -> Iterator[Piece]:
    """Decode what a label without a size names; what follows it may be somebody else's."""
    from iced_x86 import Decoder

    length = _reach(code, stretch.start)
    behind = stretch.start + length
    codes = frozenset({instruction.code for instruction in Decoder(64, code[:length], ip=stretch.start)})
    yield Piece(stretch._replace(end=behind), codes, 0)
    rest = code[length:]
    if rest.translate(None, _PADDING):
        yield from _runs(rest, Stretch(behind, stretch.end, f"{stretch.name}{UNNAMED}{behind:x}", GAP))


def _reach(code: bytes, start: int) -> int:
    """Return how many bytes belong to the function that begins here: up to the last place where it can end."""
    from iced_x86 import Decoder

    table = code_table()
    furthest = start
    for instruction in Decoder(64, code, ip=start):
        if instruction.code in table.branches and instruction.code not in table.calls:
            target = instruction.near_branch_target
            furthest = max(furthest, target if start <= target < start + len(code) else start)
        if instruction.code == table.invalid:
            return instruction.ip - start
        if instruction.code in table.ends and instruction.next_ip > furthest:
            return instruction.next_ip - start
    return len(code)


def _runs(code: bytes, stretch: Stretch) -> Iterator[Piece]:
    """Decode bytes that are partly data: a run counts as code when it ends as code does, or in a call.

    After bytes that are no instruction, decoding goes on at the next multiple of 16, where code begins
    when compilers and assemblers lay it.
    """
    from iced_x86 import Decoder

    table = code_table()
    decoder = Decoder(64, code, ip=stretch.start)
    begin, run, last = 0, set[int](), 0
    skipped = 0
    while decoder.can_decode:
        instruction = decoder.decode()
        kind = instruction.code
        end = instruction.next_ip - stretch.start
        if kind == table.invalid:
            position = instruction.ip - stretch.start
            if last in table.calls:
                # Somebody who does not return was called.
                yield Piece(_part(stretch, begin, position), frozenset(run), 0)
                begin = position
            following = min((instruction.ip // _ALIGNMENT + 1) * _ALIGNMENT - stretch.start, len(code))
            skipped += following - begin
            decoder.position = following
            decoder.ip = stretch.start + following
            begin, run, last = following, set(), 0
            continue
        run.add(kind)
        last = kind
        if kind in table.ends:
            yield Piece(_part(stretch, begin, end), frozenset(run), 0)
            begin, run, last = end, set(), 0
    skipped += len(code) - begin
    yield Piece(_part(stretch, len(code), len(code)), frozenset(), skipped)


def _part(stretch: Stretch, begin: int, end: int) -> Stretch:
    return Stretch(stretch.start + begin, stretch.start + end, stretch.name, stretch.origin)


class Use(NamedTuple):
    """One instruction that needs a feature: which, where, and how it reads."""

    feature: str
    address: int
    text: str


def features_of(piece: Piece) -> frozenset[str]:
    """Return the features that a piece of code needs beyond plain x86-64, as far as its instructions alone tell."""
    table = code_table()
    features = frozenset(feature for code in piece.codes for feature in table.features.get(code, ()))
    if _TZCNT in features:
        return features - {_TZCNT} | {"bmi1"} if features & _COMPANIONS else features
    return features


def is_doubtful(features: frozenset[str]) -> bool:
    """Tell whether a tzcnt is there that may be a bsf."""
    return _TZCNT in features


def without_doubt(features: frozenset[str]) -> frozenset[str]:
    """Return the features without a tzcnt that may be a bsf."""
    return features - {_TZCNT}


def first_uses(image: ElfImage, stretch: Stretch) -> list[Use]:
    """Return the first instruction of a stretch for each feature that it needs beyond plain x86-64."""
    from iced_x86 import Decoder, Formatter, FormatterSyntax

    table = code_table()
    formatter = Formatter(FormatterSyntax.INTEL)
    found: dict[str, Use] = {}
    pending = False
    code = image.read(stretch.start, stretch.end - stretch.start)
    for instruction in Decoder(64, code, ip=stretch.start):
        if pending and instruction.code in table.carry:
            found["bmi1"] = found[_TZCNT]._replace(feature="bmi1")
        features = table.features.get(instruction.code, frozenset())
        pending = _TZCNT in features
        for feature in features - found.keys():
            found[feature] = Use(feature, instruction.ip, formatter.format(instruction))
    if "bmi1" not in found and _TZCNT in found and found.keys() & _COMPANIONS:
        found["bmi1"] = found[_TZCNT]._replace(feature="bmi1")
    found.pop(_TZCNT, None)
    return sorted(found.values())
