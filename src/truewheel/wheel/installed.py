"""Where an installer puts the files of a wheel: the tree that Python sees, which is not the archive's."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal, NamedTuple

Root = Literal["site", "bin", "include", "prefix", "nowhere"]

DATA = ".data"
"""How the folders end whose files an installer distributes; pip takes any of that ending, others the wheel's own."""

SCHEMES = ("purelib", "platlib", "scripts", "headers", "data")
_ROOTS: dict[str, Root] = {"purelib": "site", "platlib": "site", "scripts": "bin", "headers": "include"}
_SITE = re.compile(r"lib(?:64)?/(?:(?:python|pypy|graalpy)[\d.]+t?/)?(?:site|dist)-packages/(.+)", re.IGNORECASE)
_BIN = re.compile(r"(?:bin|Scripts)/(.+)", re.IGNORECASE)
_SHOWN: dict[Root, str] = {
    "site": "site-packages/",
    "bin": "bin/",
    "include": "include/",
    "prefix": "",
    "nowhere": "nowhere: ",
}


class Destination(NamedTuple):
    """Where a file of a wheel comes to lie.

    Attributes:
        root: `site` for site-packages, `bin` for the folder of programs, `include`, `prefix` for the environment
            itself; `nowhere` for what no installer knows a place for.
        path: below that.
    """

    root: Root
    path: str

    @property
    def shown(self) -> str:
        """Return it as a message may name it."""
        return f"{_SHOWN[self.root]}{self.path}"

    @property
    def above(self) -> Destination:
        """Return the folder that it lies in; one without a path for what lies in its root."""
        return Destination(self.root, self.path.rpartition("/")[0])

    @property
    def folded(self) -> Destination:
        """Return what is the same for every place that is the same file on some file system."""
        return Destination(self.root, fold(self.path))


def fold(name: str) -> str:
    """Return what all names have in common that are one name on some file system, as those of macOS and Windows."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def place_of(member: str) -> Destination:
    """Return where an installer puts a member of a wheel."""
    folder, _, rest = member.partition("/")
    if not folder.endswith(DATA) or not rest:
        return Destination("site", member)
    scheme, _, path = rest.partition("/")
    if scheme not in SCHEMES or not path:
        return Destination("nowhere", rest)
    return _resolve(path) if scheme == "data" else Destination(_ROOTS[scheme], path)


def _resolve(path: str) -> Destination:
    """Return the place of a path below the environment, by the folders that have names of their own in it."""
    if found := _SITE.fullmatch(path):
        return Destination("site", found[1])
    if found := _BIN.fullmatch(path):
        return Destination("bin", found[1])
    return Destination("prefix", path)


def path_in_site(member: str) -> str:
    """Return a member's path in site-packages; empty when it is installed elsewhere."""
    place = place_of(member)
    return place.path if place.root == "site" else ""


def is_pth(member: str) -> bool:
    """Tell whether Python reads a member when it starts: a `.pth` file directly in site-packages."""
    path = path_in_site(member)
    return "/" not in path and path.lower().endswith(".pth")


class InstalledTree:
    """The files of a wheel by where an installer puts them.

    Args:
        members: its files by their names in the archive.

    Attributes:
        places: where each member goes.
    """

    def __init__(self, members: Iterable[str]) -> None:
        self.places = {member: place_of(member) for member in members}

    def list_written_twice(self) -> list[tuple[Destination, list[str]]]:
        """Return the places that more than one member is written to, on some file system, with these members."""
        found: dict[Destination, list[str]] = {}
        for member, place in self.places.items():
            if place.root != "nowhere":
                found.setdefault(place.folded, []).append(member)
        return [(self.places[members[0]], members) for members in found.values() if len(members) > 1]

    def list_files_as_folders(self) -> list[tuple[str, str]]:
        """Return members whose place is the folder of another's, each with that one."""
        files = {place.folded: member for member, place in self.places.items() if place.root != "nowhere"}
        found: dict[str, str] = {}
        seen: set[Destination] = set()
        for place, member in files.items():
            folder = place.above
            # Those above one that was seen were seen too.
            while folder.path and folder not in seen:
                seen.add(folder)
                if folder in files:
                    found.setdefault(files[folder], member)
                folder = folder.above
        return list(found.items())
