"""The facts of one ELF shared library: what it links, what it promises, how it is hardened."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import msgspec

from truewheel.binary import headers
from truewheel.binary.headers import SectionHeader
from truewheel.binary.image import ElfImage, Symbol
from truewheel.binary.loads import LoadFacts, find_inits, read_loads

ISA_1_LEVELS = ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4")
_ISA_1_NEEDED, _FEATURE_1_AND = 0xC0008002, 0xC0000002
_IBT, _SHSTK = 1, 2
_NT_GNU_PROPERTY_TYPE_0 = 5
_MASK_BYTES = 4
_WIDE_AND_LITTLE = b"\2\1"
_PF_X, _PF_W = 1, 2
_ET_REL = 1
_CXX = ("libstdc++.", "libc++.")
_DF_TEXTREL, _DF_BIND_NOW, _DF_1_NOW = 4, 8, 1
_STB_WEAK, _STT_FUNC, _STT_OBJECT, _STT_TLS, _STT_IFUNC = 2, 2, 1, 6, 10
_MAX_SYMBOLS, _SYMBOLS_A_NEED = 600_000, 600
_MAX_PATHS, _MAX_PATH_COUNT = 8, 100_000
# The slash comes first so that the search looks at slashes alone: ten times as fast as looking behind everywhere.
# Parts and their number are bounded: in `=/a=/a=/a` each slash begins a path that would else reach to the end.
_SOURCE_PATH = re.compile(
    rb"(/(?<![\w./+-]/)(?!usr/|rustc/|rust/deps/|lib/|lib64/|etc/|proc/|sys/|dev/|nix/store/)[\w.+@~-]{1,255}"
    rb"(?:/[\w.+@~=,-]{1,255}){1,40}"
    rb"\.(?:c|cc|cpp|cxx|c\+\+|h|hh|hpp|hxx|inl|inc|ipp|tcc|rs|go|s|S|asm|cu|cuh|pyx|pxd|zig|f|f90|F90|m|mm|swift))(?=[\0\s:;'\"),]|$)"
)
_HOME = re.compile(rb"(/(?<![\w./+-]/)(?:home|Users)/[\w.-]{1,255}/[\w./+@-]{2,200})")
_PRIVATE = tuple(f"/{folder}/" for folder in ("home", "Users", "root", "tmp", "var/tmp", "private", "var/folders"))
_FETCHED = ("/.cargo/registry/", "/.cargo/git/", "/.rustup/", "/go/pkg/mod/", "/.conan", "/vcpkg/")
"""Sources that a tool fetched into its own cache: the same on every machine."""
_FORTIFIABLE = frozenset(
    """
    asprintf confstr dprintf fgets fgetws fprintf fputs fread fwprintf getcwd getgroups gethostname getlogin_r gets
    longjmp mbsnrtowcs mbsrtowcs mbstowcs memcpy memmove mempcpy memset obstack_printf poll ppoll pread pread64
    printf read readlink readlinkat realpath recv recvfrom snprintf sprintf stpcpy stpncpy strcat strcpy strncat
    strncpy swprintf syslog ttyname_r vasprintf vdprintf vfprintf vfwprintf vprintf vsnprintf vsprintf vswprintf
    vsyslog vwprintf wcrtomb wcscat wcscpy wcsncat wcsncpy wcsnrtombs wcsrtombs wcstombs wctomb wmemcpy wmemmove
    wmempcpy wmemset wprintf
    """.split()  # noqa: SIM905 - a list literal of these would be eighty lines
)
"""Functions of which the C library has a checked twin, `__NAME_chk`."""


class Undefined(msgspec.Struct, frozen=True):
    """A symbol that somebody else must define.

    Attributes:
        name: of the symbol.
        version: that it must have; empty for any.
        weak: whether it may be missing.
        function: whether it is known to be code, which is looked for at the first call.
    """

    name: str
    version: str = ""
    weak: bool = False
    function: bool = False


class ElfFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one ELF file says about itself.

    Attributes:
        machine: e.g. `EM_X86_64`.
        soname: DT_SONAME, or empty.
        needed: DT_NEEDED names in order.
        runpath: DT_RUNPATH and DT_RPATH entries, split at colons.
        versions: symbol versions asked of each needed library, e.g. `{"libc.so.6": ("GLIBC_2.34",)}`.
        isa_level: the x86 ISA level that its GNU property note demands, or empty.
        debug_sections: names of sections that a run does not need.
        debug_bytes: their bytes in the file.
        fast_math_startup: whether it changes the process's floating-point mode when loaded.
        damage: why its section table cannot be read; empty when it can.
        undefined: symbols that others must define.
        defined: names of the symbols that it offers.
        executable_stack: whether it makes the process's stack executable.
        writable_code: whether a segment can be both written and run.
        text_relocations: whether the loader must write into its code.
        relro: `full`, `partial` or `none`: what is read-only once it is loaded.
        ibt: whether it is marked for indirect branch tracking.
        shstk: whether it is marked for shadow stacks.
        fortified: C library functions that it calls by their checked twin.
        unfortified: those that it calls although a checked twin exists.
        private_paths: paths into somebody's home or a temporary folder of the machine that built it, a few.
        private_path_count: how many different ones.
        source_paths: absolute paths of other source files, as compilers and containers have them, a few.
        source_path_count: how many different ones.
        python_modules: modules that its code imports by name, as far as they are looked for.
        loads: what kind of file it is, and whether its segments can be mapped.
        init: names of the functions by which Python could make an extension module of it.
        rust: whether it holds code of Rust's standard library, and asks for no library of C++.
    """

    machine: str
    soname: str
    needed: tuple[str, ...]
    runpath: tuple[str, ...]
    versions: dict[str, tuple[str, ...]]
    isa_level: str
    debug_sections: tuple[str, ...]
    debug_bytes: int
    fast_math_startup: bool
    damage: str = ""
    undefined: tuple[Undefined, ...] = ()
    defined: tuple[str, ...] = ()
    executable_stack: bool = False
    writable_code: bool = False
    text_relocations: bool = False
    relro: str = "full"
    ibt: bool = False
    shstk: bool = False
    fortified: tuple[str, ...] = ()
    unfortified: tuple[str, ...] = ()
    private_paths: tuple[str, ...] = ()
    private_path_count: int = 0
    source_paths: tuple[str, ...] = ()
    source_path_count: int = 0
    python_modules: tuple[str, ...] = ()
    init: tuple[str, ...] = ()
    loads: LoadFacts = LoadFacts()
    rust: bool = False


def read_elf(data: bytes) -> ElfFacts:
    """Read the facts of an ELF file held in memory.

    Raises:
        ValueError: the file is damaged.
    """
    return elf_facts(ElfImage(data))


def elf_facts(image: ElfImage) -> ElfFacts:
    """Return the facts of an ELF file.

    Raises:
        ValueError: the file is damaged beyond its section table.
    """
    try:
        return _facts(image)
    except Exception as error:
        # Hostile bytes can fail anywhere, and the finding is that they do.
        raise ValueError(f"damaged ELF file: {type(error).__name__}: {error}") from error


def _facts(image: ElfImage) -> ElfFacts:
    debug = [section for section in image.sections if _is_debug(section)]
    versions, by_index = _versions(image)
    symbols = image.symbols(dynamic=True)
    undefined = tuple(_undefined(image, symbols, by_index))
    needed = image.dynamic_texts(headers.DT_NEEDED)
    if max(len(symbols), len(needed) * _SYMBOLS_A_NEED) > _MAX_SYMBOLS:
        raise ValueError(f"it has {len(symbols)} symbols and needs {len(needed)} libraries, more than any has")
    names = {symbol.name for symbol in undefined}
    flags = {name: values[0] for name, values in image.dynamic_tags().items()}
    properties = _properties(image)
    private, paths = _build_paths(image)
    return ElfFacts(
        machine=image.headers.machine,
        soname=next(iter(image.dynamic_texts(headers.DT_SONAME)), ""),
        needed=tuple(needed),
        runpath=tuple(_runpath(image)),
        versions=versions,
        isa_level=_level(properties.get(_ISA_1_NEEDED, 0)),
        debug_sections=tuple(section.name for section in debug),
        debug_bytes=sum(section.size for section in debug),
        fast_math_startup=any(symbol.name == "set_fast_math" for symbol in (*symbols, *image.symbols(dynamic=False))),
        damage=image.damage,
        undefined=undefined,
        defined=tuple(sorted({symbol.name for symbol in symbols if _is_offered(symbol)})),
        executable_stack=_executable_stack(image),
        writable_code=any(part.flags & _PF_X and part.flags & _PF_W for part in image.segments(headers.PT_LOAD)),
        text_relocations=headers.DT_TEXTREL in flags or bool(flags.get(headers.DT_FLAGS, 0) & _DF_TEXTREL),
        relro=_relro(image, flags),
        ibt=bool(properties.get(_FEATURE_1_AND, 0) & _IBT),
        shstk=bool(properties.get(_FEATURE_1_AND, 0) & _SHSTK),
        fortified=tuple(sorted(name for name in _FORTIFIABLE if f"__{name}_chk" in names)),
        unfortified=tuple(sorted(_FORTIFIABLE & names)),
        private_paths=tuple(private[:_MAX_PATHS]),
        private_path_count=len(private),
        source_paths=tuple(paths[:_MAX_PATHS]),
        source_path_count=len(paths),
        python_modules=("_cffi_backend",) if b"\0_cffi_backend\0" in image.data else (),
        loads=read_loads(image.data),
        init=_inits(image, symbols),
        rust=b"/rustc/" in image.data and not any(name.startswith(_CXX) for name in needed),
    )


def _inits(image: ElfImage, symbols: list[Symbol]) -> tuple[str, ...]:
    """Return the functions that make extension modules."""
    if image.data[4:6] != _WIDE_AND_LITTLE:
        return find_inits(image.data)
    return tuple(
        sorted({symbol.name for symbol in symbols if _is_offered(symbol) and symbol.name.startswith("PyInit")})
    )


def _runpath(image: ElfImage) -> Iterator[str]:
    """Yield the entries of the run paths in the order of the dynamic section."""
    for tag in image.dynamic_tags():
        if tag in (headers.DT_RUNPATH, headers.DT_RPATH):
            for text in image.dynamic_texts(tag):
                yield from text.split(":")


def _versions(image: ElfImage) -> tuple[dict[str, tuple[str, ...]], dict[int, str]]:
    """Return the versions asked of each library, and each version's name by its index."""
    found: dict[str, list[str]] = {}
    by_index: dict[int, str] = {}
    for section in image.sections:
        if section.kind == headers.SHT_VERNEED:
            for need in image.headers.needed_versions(section, image.sections[section.link]):
                found.setdefault(need.library, []).append(need.version)
                by_index[need.number] = need.version
    return {library: tuple(sorted(versions)) for library, versions in found.items()}, by_index


def _undefined(image: ElfImage, symbols: list[Symbol], by_index: dict[int, str]) -> Iterator[Undefined]:
    address = image.dynamic_tags().get(headers.DT_VERSYM, [0])[0]
    table = image.read(address, 2 * len(symbols)) if address else b""
    indices = struct.unpack(f"<{len(table) // 2}H", table[: len(table) // 2 * 2])
    for number, symbol in enumerate(symbols):
        if not symbol.defined and symbol.name:
            index = indices[number] & 0x7FFF if number < len(indices) else 0
            function = symbol.kind in (_STT_FUNC, _STT_IFUNC)
            yield Undefined(symbol.name, by_index.get(index, ""), symbol.binding == _STB_WEAK, function)


def _is_offered(symbol: Symbol) -> bool:
    return symbol.defined and symbol.visible and symbol.binding != 0 and bool(symbol.name)


def _properties(image: ElfImage) -> dict[int, int]:
    """Return the masks of the GNU property notes."""
    found: dict[int, int] = {}
    for segment in image.segments(headers.PT_NOTE):
        for name, note, content in image.headers.notes(segment):
            if name == b"GNU" and note == _NT_GNU_PROPERTY_TYPE_0:
                image.allowance.spend(len(content))
                for kind, mask in _property_masks(content):
                    found.setdefault(kind, mask)
    return found


def _property_masks(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the properties of a note that are masks, by kind (x86-64 psABI, 8-byte aligned)."""
    offset = 0
    while offset + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, offset)
        if size == _MASK_BYTES and offset + 12 <= len(data):
            yield kind, struct.unpack_from("<I", data, offset + 8)[0]
        offset += 8 + (size + 7) // 8 * 8


def _level(mask: int) -> str:
    return ISA_1_LEVELS[min(mask.bit_length(), len(ISA_1_LEVELS)) - 1] if mask else ""


def _is_debug(section: SectionHeader) -> bool:
    return section.name.startswith((".debug_", ".zdebug_")) or section.name in (".symtab", ".strtab")


def _executable_stack(image: ElfImage) -> bool:
    """Tell whether loading it makes the stack executable; a library that says nothing does so too."""
    if image.headers.kind == _ET_REL:
        return False
    parts = image.segments(headers.PT_GNU_STACK)
    return not parts or any(part.flags & _PF_X for part in parts)


def _relro(image: ElfImage, flags: dict[int, int]) -> str:
    if not image.segments(headers.PT_GNU_RELRO):
        return "none"
    told = flags.get(headers.DT_FLAGS, 0) & _DF_BIND_NOW or flags.get(headers.DT_FLAGS_1, 0) & _DF_1_NOW
    return "full" if told or headers.DT_BIND_NOW in flags or headers.DT_JMPREL not in flags else "partial"


def _build_paths(image: ElfImage) -> tuple[list[str], list[str]]:
    """Return the private and the other source paths in what is loaded; debug sections are the size check's."""
    found: set[bytes] = set()
    for start, end in image.loaded():
        for pattern in (_SOURCE_PATH, _HOME):
            for match in pattern.finditer(image.data, start, end):
                if len(found) < _MAX_PATH_COUNT:
                    found.add(match[1])
    paths = sorted(path.decode("utf-8", "backslashreplace") for path in found)
    private = {path for path in paths if path.startswith(_PRIVATE) and not any(part in path for part in _FETCHED)}
    return sorted(private), [path for path in paths if path not in private]
