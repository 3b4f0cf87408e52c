"""What a machine is, and what can be built and proven on it, as documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from truewheel.machine.doctor import Diagnosis
from truewheel.machine.matrix import Cell, Matrix
from truewheel.machine.probe import Toolchain
from truewheel.pages.document import Block, Document, Fields, Inline, Printed, Section, Span, Table, Topic
from truewheel.text import number_words

_FOOTER = "It describes one machine, and no other."


def describe_matrix(matrix: Matrix) -> Document:
    """Return which engine can be built and proven with which profile, and the platforms that are refused."""
    blocks = tuple(_cell_blocks(matrix.cells))
    refused = tuple(Topic(each.name, each.reason) for each in matrix.platforms if not each.supported)
    if refused:
        blocks = (*blocks, Section("Platforms that nothing is built for", refused))
    return Document(f"What this machine, of level {matrix.level}, can build and prove", blocks, footer=_FOOTER)


def describe_machine(found: Diagnosis) -> Document:
    """Return a machine with its compilers and tools, what can be built on it, and what would stop a build."""
    host = found.host
    rows: tuple[tuple[str, Inline], ...] = (
        ("CPU", f"{host.model} ({host.vendor}), {host.level}"),
        ("features", " ".join(host.features)),
        ("cores", f"{host.physical_cores} physical, {host.logical_cores} logical, {host.usable_cores} usable here"),
        ("memory", f"{host.memory_bytes >> 20} MiB, {found.memory_available >> 20} MiB available"),
        ("disk", f"{found.disk_free >> 30} GiB free at the caches"),
        ("system", f"{host.system} {host.machine}, {host.libc}"),
        *((("a wheel runs with", found.confinement),) if found.confinement else ()),
        ("caches", Span(found.cache, "code")),
        ("wheelhouse", Span(found.wheelhouse, "code")),
    )
    compilers = tuple(map(_compiler_row, found.compilers)) or (("none", "none is on this machine"),)
    tools = tuple(
        (tool.name, tool.version or "-", tool.origin, Span(tool.path, "code") if tool.path else "-")
        for tool in found.tools
    )
    blocks: list[Block] = [
        Section("Machine", (Fields(rows),)),
        Section("Compilers", (Table(("compiler", "version", "fit", "sees", "where"), compilers),)),
        Section("Tools", (Table(("tool", "version", "from", "where"), tools),)),
        Section("Engines and profiles", tuple(_cell_blocks(found.cells))),
    ]
    if found.problems:
        # As printed text, since a line that is to be typed must not be broken.
        problems = Printed("\n".join(found.problems))
        blocks.append(Section(number_words(len(found.problems), "problem"), (problems,)))
    return Document("", tuple(blocks), footer=_FOOTER)


def _compiler_row(tried: Toolchain) -> tuple[Inline, ...]:
    if tried.refusal:
        return tried.kind, tried.version, (f"no: {tried.refusal} (", Span(tried.cc, "code"), ")")
    unused = f", leaves unused: {' '.join(tried.unused)}" if tried.unused else ""
    return (
        tried.kind,
        tried.version,
        Span("yes", "good"),
        f"{tried.native_cpu or 'this CPU'}{unused}",
        Span(tried.cc, "code"),
    )


def _cell_blocks(cells: Sequence[Cell]) -> Iterator[Block]:
    """Yield a table of engine by profile, and below it each reason once, by the number that stands in the table."""
    engines = tuple(dict.fromkeys(cell.engine for cell in cells))
    notes: dict[str, int] = {}
    words = {(cell.profile, cell.engine): _cell_words(cell, notes) for cell in cells}
    profiles = dict.fromkeys(cell.profile for cell in cells)
    rows = tuple((profile, *(words.get((profile, engine), "-") for engine in engines)) for profile in profiles)
    yield Table(("profile", *engines), rows)
    yield from (Topic(str(number), reason) for reason, number in notes.items())


def _cell_words(cell: Cell, notes: dict[str, int]) -> Inline:
    def note(reason: str) -> int:
        return notes.setdefault(reason, len(notes) + 1)

    if not cell.buildable:
        return Span("no", "bad"), f" ({note(f'cannot be built: {cell.build}')})"
    built = note(f"is built {cell.build}")
    if cell.provable:
        return Span("build, prove", "good"), f" ({built}, {note(f'is proven {cell.proof}')})"
    return Span("build", "warn"), f" ({built}, {note(f'cannot be proven here: {cell.proof}')})"
