"""Which code runs only after somebody asked the CPU: a walk over a library's references.

A function is *aware* when it asks CPUID, or looks at what such a function stored, or is the resolver
of a symbol that the loader chooses. Code that is reached from the library's entrances without passing
an aware function is open: it runs on every CPU. Code that is reached from aware functions only is guarded.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable
from typing import NamedTuple

from truewheel.binary import headers
from truewheel.binary.decode import LABEL, Stretch, code_table
from truewheel.binary.image import ElfImage, is_function, is_object, is_resolver
from truewheel.binary.places import Places, merge

OPEN, GUARDED, UNREACHED = "open", "guarded", "unreached"

_RELATIVE, _IRELATIVE = 8, 37
_BY_SYMBOL = (1, 6, 7)
_PF_W = 2
_SMALL_FUNCTION = 256
_CODE_COST = 8
_STUB_STEP = 8
_FEW = 24
_TABLE_BYTES = 1 << 16
DETECTION_SYMBOLS = frozenset(
    ("__cpu_model", "__cpu_indicator_init", "__cpu_features2", "__x86_get_cpuid_feature_leaf", "__get_cpu_features",
     "__x86_get_cpu_features", "_rtld_global_ro", "__get_cpuid")
)  # fmt: skip
"""Names by which the C library and the compiler's run-time tell what the CPU has."""


class References(NamedTuple):
    """What each stretch of code refers to.

    Attributes:
        code: addresses of code that it calls, jumps to or takes, outside itself.
        data: other addresses that it reads, writes or takes.
        writes: those of `data` that it writes, or whose address it takes.
        taken: those of `code` that it does not call or jump to itself.
    """

    code: list[set[int]]
    data: list[set[int]]
    writes: list[set[int]]
    taken: list[set[int]]


def collect_references(image: ElfImage, stretches: list[Stretch]) -> References:
    """Decode every stretch once more and note what it refers to."""
    from iced_x86 import Decoder, OpKind

    table = code_table()
    branches, reads, takes, memory = table.branches, table.reads, table.takes, OpKind.MEMORY
    ranges = [(part.address, part.address + part.size) for part in image.executable_ranges()]
    low, high = min(start for start, _ in ranges), max(end for _, end in ranges)
    result = References([], [], [], [])
    for stretch, following in zip(stretches, [*stretches[1:], None], strict=True):
        start, end = stretch.start, stretch.end
        image.allowance.spend(_CODE_COST * (end - start))
        kind = 0
        code: set[int] = set()
        data: set[int] = set()
        writes: set[int] = set()
        taken: set[int] = set()
        for instruction in Decoder(64, image.read(start, end - start), ip=start):
            kind = instruction.code
            if kind in branches:
                target = instruction.near_branch_target
                if not start <= target < end:
                    code.add(target)
            elif instruction.is_ip_rel_memory_operand:
                address = instruction.ip_rel_memory_address
                if low <= address < high and kind in takes:
                    taken.add(address)
                else:
                    data.add(address)
                    if (instruction.op0_kind == memory and kind not in reads) or kind in takes:
                        writes.add(address)
        if following is not None and following.origin == LABEL and following.start == end and kind not in table.ends:
            # A label may stand in the middle of a function.
            code.add(end)
        result.taken.append(taken - code)
        result.code.append(code | taken)
        result.data.append(data)
        result.writes.append(writes)
    return result


class _Graph(NamedTuple):
    places: Places
    code: list[set[int]]
    slots: list[tuple[int, int]]
    bounds: list[int]
    data: list[set[int]]


def find_standings(
    image: ElfImage, stretches: list[Stretch], asking: set[int], kernels: set[int]
) -> tuple[dict[int, str], set[int]]:
    """Return for each stretch, by its index, whether it is open, guarded or unreached; and all code addresses named.

    Args:
        image: the library.
        stretches: its code.
        asking: indices of those that ask CPUID.
        kernels: indices of those that need more than plain x86-64.
    """
    references = collect_references(image, stretches)
    writable = _writable(image)
    places = Places([(stretch.start, stretch.end) for stretch in stretches])
    slots, detection_slots, resolvers = _read_slots(image, places)
    _follow_linkage_table(image, references, dict(slots))
    _follow_offset_table(references, dict(slots), places)
    graph = _make_graph(places, references, slots)
    aware = _find_aware(stretches, references, graph, asking, detection_slots, writable) | resolvers
    entrances, objects = _entrances(image, places)
    # An entrance that looks at the CPU guards the kernels that it calls itself, not the whole library behind it.
    beside = {target for index in entrances & aware for target in graph.code[index]} - kernels
    # What only calls a kernel, and is taken for a pointer, is one of those among which the entrance chooses.
    taken = {places.find(target) for index in entrances & aware for target in references.taken[index]}
    beside -= {target for target in taken & beside if graph.code[target] & kernels}
    opened = _walk(graph, (entrances | beside) - aware, objects, stop=aware)
    behind = {target for index in aware for target in graph.code[index]}
    tables = [address for index in aware for address in references.data[index]]
    guarded = _walk(graph, behind - opened, tables, stop=opened) | aware
    standings = {
        index: GUARDED if index in aware else OPEN if index in opened else GUARDED if index in guarded else UNREACHED
        for index in range(len(stretches))
    }
    led_to = {target for targets in references.code for target in targets} | {target for _, target in slots}
    return standings, led_to


def _read_slots(image: ElfImage, places: Places) -> tuple[list[tuple[int, int]], set[int], set[int]]:
    """Return pointers in data as (slot, target), slots of detection symbols, and the resolvers' indices."""
    symbols = image.symbols(dynamic=True)
    slots: list[tuple[int, int]] = []
    detection: set[int] = set()
    resolvers = {places.find(symbol.value) for symbol in symbols if is_resolver(symbol)}
    resolvers |= {places.find(symbol.value) for symbol in image.symbols(dynamic=False) if is_resolver(symbol)}
    for relocation in image.relocations():
        if relocation.kind == _RELATIVE:
            slots.append((relocation.slot, relocation.addend))
        elif relocation.kind == _IRELATIVE:
            resolvers.add(places.find(relocation.addend))
        elif relocation.kind in _BY_SYMBOL and relocation.symbol < len(symbols):
            symbol = symbols[relocation.symbol]
            if symbol.defined:
                slots.append((relocation.slot, symbol.value + (relocation.addend if relocation.kind == 1 else 0)))
            if symbol.name in DETECTION_SYMBOLS:
                detection.add(relocation.slot)
    detection |= {symbol.value for symbol in symbols if is_object(symbol) and symbol.name in DETECTION_SYMBOLS}
    return sorted(slots), detection, resolvers - {-1}


def _writable(image: ElfImage) -> Callable[[int], bool]:
    parts = merge(
        (part.address, part.address + part.memory_size)
        for part in image.segments(headers.PT_LOAD)
        if part.flags & _PF_W and part.memory_size
    )
    places = Places(parts)
    return lambda address: places.find(address) >= 0


def _follow_linkage_table(image: ElfImage, references: References, slots: dict[int, int]) -> None:
    """Put what a stub of the linkage table jumps to in place of the stub: all stubs are one stretch of code."""
    from iced_x86 import Decoder, FlowControl, Mnemonic

    stubs: dict[int, int] = {}
    for part in image.executable_ranges():
        if not part.name.startswith(".plt"):
            continue
        table = image.read(part.address, part.size)
        for start in range(0, part.size, _STUB_STEP):
            decoder = Decoder(64, table[start : start + 2 * _STUB_STEP], ip=part.address + start)
            for instruction in itertools.islice(decoder, 2):
                if instruction.flow_control == FlowControl.INDIRECT_BRANCH and instruction.is_ip_rel_memory_operand:
                    stubs[part.address + start] = instruction.ip_rel_memory_address
                if instruction.mnemonic != Mnemonic.ENDBR64:
                    break
    for code, data in zip(references.code, references.data, strict=True):
        called = [target for target in code if target in stubs]
        code.difference_update(called)
        data.update(stubs[target] for target in called)
        code.update(slots[stubs[target]] for target in called if stubs[target] in slots)


def _follow_offset_table(references: References, slots: dict[int, int], places: Places) -> None:
    """Add what a pointer in data stands for to those that read the pointer: a variable by way of the offset table."""
    for data, writes in zip(references.data, references.writes, strict=True):
        followed = [slots[address] for address in data if address in slots and places.find(slots[address]) < 0]
        data.update(followed)
        writes.update(followed)


def _make_graph(places: Places, references: References, slots: list[tuple[int, int]]) -> _Graph:
    code = [{places.find(target) for target in targets} - {-1} for targets in references.code]
    bounds = {address for addresses in references.data for address in addresses}
    bounds |= {target for _, target in slots}
    return _Graph(places, code, slots, sorted(bounds), references.data)


def _find_aware(
    stretches: list[Stretch],
    references: References,
    graph: _Graph,
    asking: set[int],
    detection: set[int],
    writable: Callable[[int], bool],
) -> set[int]:
    count = range(len(stretches))
    askers = asking | {index for index in count if references.data[index] & detection}
    # A pointer to a function that asks is as good as its name.
    pointers = {slot for slot, target in graph.slots if graph.places.find(target) in asking}
    askers |= {index for index in count if graph.code[index] & asking or references.data[index] & pointers}
    stored = set(detection)
    for index in askers:
        told = {address for address in references.writes[index] if writable(address)}
        # Somebody who asks in passing, and does much else, stores much else.
        stored |= told if len({address >> 3 for address in told}) <= _FEW else set()
    # Who asks CPUID itself may also store through a pointer that it took.
    stored |= {address for index in asking for address in references.data[index] if writable(address)}
    # A pair of 32-bit words is often written at once and read one by one.
    words = {address >> 3 for address in stored}
    aware = askers | {
        index for index in count if not words.isdisjoint(address >> 3 for address in references.data[index])
    }
    small = {index for index in aware if stretches[index].end - stretches[index].start <= _SMALL_FUNCTION}
    return aware | {index for index in count if graph.code[index] & small}


def _entrances(image: ElfImage, places: Places) -> tuple[set[int], list[int]]:
    """Return the functions that anybody may call, and the data that anybody may read."""
    functions: set[int] = set()
    objects: list[int] = []
    for symbol in image.symbols(dynamic=True):
        # A label that is exported is one by habit: assemblers' kernels are, and nobody calls them from outside.
        if is_function(symbol) and not is_resolver(symbol):
            functions.add(places.find(symbol.value))
        elif is_object(symbol):
            objects.append(symbol.value)
    tags = image.dynamic_tags()
    functions |= {places.find(address) for tag in (headers.DT_INIT, headers.DT_FINI) for address in tags.get(tag, [])}
    arrays = (
        (headers.DT_INIT_ARRAY, headers.DT_INIT_ARRAYSZ),
        (headers.DT_FINI_ARRAY, headers.DT_FINI_ARRAYSZ),
    )
    for table, size in arrays:
        if table in tags and size in tags:
            objects += range(tags[table][0], tags[table][0] + min(tags[size][0], _TABLE_BYTES), 8)
    functions.add(places.find(image.headers.entry))
    return functions - {-1}, objects


def _walk(graph: _Graph, functions: Iterable[int], objects: Iterable[int], *, stop: set[int]) -> set[int]:
    """Return all code that is reached, through calls and through pointers in data, without entering `stop`."""
    reached: set[int] = set()
    seen: set[int] = set()
    pointers = _Pointers(graph)
    waiting = list(functions)
    addresses = list(objects)
    while waiting or addresses:
        if addresses:
            address = addresses.pop()
            if address in seen:
                continue
            seen.add(address)
            for target in pointers.of_object(address):
                index = graph.places.find(target)
                if index < 0:
                    addresses.append(target)
                elif index not in reached and index not in stop:
                    waiting.append(index)
            continue
        index = waiting.pop()
        if index in reached or index in stop:
            continue
        reached.add(index)
        waiting += graph.code[index] - reached
        addresses += graph.data[index] - seen
    return reached


class _Pointers:
    """The pointers of data that a walk has not followed yet: objects can overlap, and each pointer is told once.

    Args:
        graph: what the walk goes over.
    """

    def __init__(self, graph: _Graph) -> None:
        self._graph = graph
        self._following = list(range(len(graph.slots) + 1))

    def of_object(self, address: int) -> list[int]:
        """Return what the fresh pointers of the object at an address point to: up to the next object that is named."""
        bounds, slots = self._graph.bounds, self._graph.slots
        following = bisect.bisect_right(bounds, address)
        end = bounds[following] if following < len(bounds) else address + _TABLE_BYTES
        index = self._fresh(bisect.bisect_left(slots, (address, -(1 << 63))))
        last = bisect.bisect_left(slots, (min(end, address + _TABLE_BYTES), -(1 << 63)))
        targets = []
        while index < last:
            targets.append(slots[index][1])
            self._following[index] = index + 1
            index = self._fresh(index)
        return targets

    def _fresh(self, index: int) -> int:
        """Return the first pointer from here on that was not told; what is passed over is passed at once next time."""
        found = index
        while self._following[found] != found:
            found = self._following[found]
        while index != found:
            self._following[index], index = found, self._following[index]
        return found
