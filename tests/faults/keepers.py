"""Everything that is kept, each with the call of the product that uses it, over makers that take no time."""

from __future__ import annotations

import io
import shutil
import tarfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from tests.unit.factories import (
    DIST_INFO,
    make_host,
    make_plan_of,
    make_recipe,
    make_source,
    make_stored_report,
    make_toolchain,
    wheel_members,
)
from truewheel.build.evidence import CompileUnit, Evidence
from truewheel.build.kept import find_build, keep_build
from truewheel.build.product import BuiltWheel
from truewheel.child import environment
from truewheel.config.load import LoadedRecipe
from truewheel.config.locations import cache_root
from truewheel.console import Console
from truewheel.examine import run
from truewheel.fetch import source
from truewheel.files import hash_file, replacing_folder
from truewheel.kept.entry import growing
from truewheel.machine import index, probe, tools
from truewheel.measure import limits_program
from truewheel.models import models, tiny
from truewheel.plan.make import Changes
from truewheel.process import Completed
from truewheel.store.wheelhouse import Wheelhouse
from truewheel.wheel.writer import write_wheel

WHEEL = "toy_engine-1.2.3-1_native-py3-none-linux_x86_64.whl"
TREE = {"CMakeLists.txt": b"project(toy)\n", "src/toy.c": b"int toy(void) { return 1; }\n" * 40, "src/empty.h": b""}


class Keeper(ABC):
    """One kind of what is kept.

    Attributes:
        name: says which.
        folder: where it lies.

    Args:
        scratch: a folder for what is not kept.
        patch: puts makers that take no time in the place of those that take some.
    """

    name = ""
    folder = ""

    def __init__(self, scratch: Path, patch: pytest.MonkeyPatch) -> None:
        self.scratch = scratch
        self.prepare(patch)

    @property
    def root(self) -> Path:
        return cache_root() / self.folder

    @abstractmethod
    def prepare(self, patch: pytest.MonkeyPatch) -> None:
        """Put the makers in their place."""

    def is_used(self, path: Path) -> bool:  # noqa: ARG002
        """Return whether `use` looks at a file in the folder."""
        return True

    @abstractmethod
    def use(self) -> Any:
        """Use what is kept, made anew where it must be, and return all that came of it."""

    def judge(self, sound: Any, found: Any) -> None:
        assert found == sound, "what came of it is not what comes of a clean cache"


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file of a folder with its mode; whatever else lies there, too."""
    found = {}
    for path in folder.rglob("*"):
        plain = path.is_file() and not path.is_symlink()
        if plain or not path.is_dir() or path.is_symlink():
            found[path.relative_to(folder).as_posix()] = (path.lstat().st_mode, path.read_bytes() if plain else b"")
    return found


class Records(Keeper):
    """Versions and trials of compilers."""

    name, folder = "probes", "probes"

    def prepare(self, patch: pytest.MonkeyPatch) -> None:
        self.compiler = self.scratch / "cc"
        self.compiler.write_text("#!/bin/sh\n")
        patch.setattr(
            probe, "_run", lambda *_args, **_options: Completed("cc", 0, "14.2.0\n", timed_out=False, seconds=0.1)
        )
        patch.setattr(probe, "_try_now", lambda candidate, _host: probe._refuse(candidate, "none of this" * 20))

    def use(self) -> Any:
        candidate = make_toolchain(cc=str(self.compiler), cxx=str(self.compiler))
        tried = probe.try_toolchain(candidate, make_host(), lambda _: None)
        return tried, probe._version(str(self.compiler))


class KeptFacts(Keeper):
    """What was read of a wheel."""

    name, folder = "facts", "facts"

    def prepare(self, patch: pytest.MonkeyPatch) -> None:
        self.wheel = self.scratch / WHEEL
        write_wheel(self.wheel, wheel_members(), DIST_INFO)
        facts = run.inspect_wheel(self.wheel, cache=False)
        patch.setattr(run, "_inspect", lambda *_: (facts, True))

    def use(self) -> Any:
        return run.inspect_wheel(self.wheel)


class Builds(Keeper):
    """Builds, found again by their plan."""

    name, folder = "built", "built"

    def prepare(self, patch: pytest.MonkeyPatch) -> None:  # noqa: ARG002
        wheel = self.scratch / WHEEL
        write_wheel(wheel, wheel_members(), DIST_INFO)
        unit = CompileUnit("a.c", ("native",), ("-mavx2",), "a.o")
        plan = make_plan_of()
        tree = source.SourceTree(self.scratch, plan.subject.source, fresh=False)
        self.built = BuiltWheel(wheel, plan, tree, Evidence({"A": "1"}, (unit,), ()), b"cpuid" * 99, "cc 1.0")

    def use(self) -> Any:
        built = self.built
        found = find_build(built.plan, built.source, None, self.root)
        if found is None:
            keep_build(built, self.root)
            found = find_build(built.plan, built.source, None, self.root)
        assert found is not None
        return found, found.path.read_bytes()


class Sources(Keeper):
    """The archive of a source, and its tree."""

    name, folder = "sources", "sources"

    def prepare(self, patch: pytest.MonkeyPatch) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, data in TREE.items():
                info = tarfile.TarInfo(f"toy-1.0/{name}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        self.archive = self.scratch / "toy.tar.gz"
        self.archive.write_bytes(buffer.getvalue())
        patch.setattr(
            index, "download_source", lambda *args, **_: Path(shutil.copy(self.archive, args[3] / "downloaded"))
        )

    def is_used(self, path: Path) -> bool:
        return path.suffix != ".gz"

    def use(self) -> Any:
        loaded, planned = LoadedRecipe(make_recipe(), self.scratch), make_source(sha256=hash_file(self.archive))
        changes = Changes({}, {"src/added.c": b"int added;\n"})
        tree = source.fetch_source(loaded, planned, changes, cache_root(), "/bin").path
        return tree, contents(tree)


class Archives(Sources):
    """The archive of a source whose tree is gone."""

    name = "archives"

    def is_used(self, path: Path) -> bool:
        return path.suffix == ".gz"

    def use(self) -> Any:
        for path in (cache_root() / "sources").glob("*"):
            if path.suffix != ".gz" and path.is_dir():
                shutil.rmtree(path)
        return super().use()


class Dependencies(Keeper):
    """Wheels that others depend on."""

    name, folder = "dependencies", "dependencies"

    def prepare(self, patch: pytest.MonkeyPatch) -> None:
        def download(arguments: list[str], **_: object) -> None:
            for name in ("one", "two"):
                (Path(arguments[4]) / f"{name}-1.0-py3-none-any.whl").write_bytes(name.encode() * 500)

        patch.setattr(index, "run_pip", download)

    def use(self) -> Any:
        return contents(environment.fetch_wheels(["one", "two"]))


class Tools(Keeper):
    """A tool that was fetched."""

    name, folder = "tools", "tools"

    def prepare(self, patch: pytest.MonkeyPatch) -> None:
        def install(_name: str, _version: str, _sha256: str, folder: Path) -> None:
            with replacing_folder(folder) as beside:
                (beside / "bin").mkdir()
                (beside / "bin" / "ninja").write_bytes(b"\x7fELF" * 300)
                (beside / "bin" / "n").symlink_to("ninja")
                (beside / "METADATA").write_bytes(b"Name: ninja\n")

        patch.setattr(index, "install_tool", install)

    def use(self) -> Any:
        tools._looked_at.clear()
        tools.in_cache("ninja")
        tool = tools.fetch_tool("ninja", lambda _: None)
        return tool, contents(tool.path.parents[1])


class KeptModels(Keeper):
    """A model that was made."""

    name, folder = "models", "models"

    def prepare(self, patch: pytest.MonkeyPatch) -> None:
        made = self.scratch / "tiny.gguf"
        tiny.write_tiny_model(made)
        patch.setattr(tiny, "write_tiny_model", lambda path: shutil.copy(made, path))

    def use(self) -> Any:
        model = models.find_model("tiny")
        return model, hash_file(model.path)


class Programs(Keeper):
    """The program that measures this machine."""

    name, folder = "bench", "bench"

    def prepare(self, patch: pytest.MonkeyPatch) -> None:
        def compile_program(_toolchain: object, work: Path, _without: list[str]) -> Completed:
            (work / "limits").write_bytes(b"\x7fELF" * 300)
            (work / "limits").chmod(0o755)
            return Completed("cc", 0, "", timed_out=False, seconds=0.1)

        self.compiler = self.scratch / "cc"
        self.compiler.write_text("#!/bin/sh\n")
        patch.setattr(limits_program, "_compile", compile_program)

    def use(self) -> Any:
        toolchain = make_toolchain(cc=str(self.compiler))
        program = limits_program.build_program(toolchain, self.root, Console(quiet=True))
        return program.read_bytes(), program.lstat().st_mode


class Objects(Keeper):
    """Objects that a compiler's cache keeps; what is gone of them is made anew by the compiler."""

    name, folder = "compile-cache", "compile-cache"
    piecemeal = True

    def prepare(self, patch: pytest.MonkeyPatch) -> None:  # noqa: ARG002
        self.objects = {f"{name}/{name}.o": name.encode() * 900 for name in ("a", "b")}

    def use(self) -> Any:
        folder = self.root / "sccache"
        with growing(folder, piecemeal=self.piecemeal):
            found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
            served = {name: (folder / name).read_bytes() for name in found}
            for name, data in self.objects.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
        return served

    def judge(self, sound: Any, found: Any) -> None:
        assert found.items() <= sound.items(), "an object is served that no compiler made"


class OwnObjects(Objects):
    """Objects of a compiler that bears no gap."""

    name = "compile-cache of zig"
    piecemeal = False


class Wheelhouses(Keeper):
    """A wheel with its report, and the hashes that `list` remembers."""

    name, folder = "wheelhouse", "house"

    def prepare(self, patch: pytest.MonkeyPatch) -> None:  # noqa: ARG002
        self.wheel = self.scratch / WHEEL
        write_wheel(self.wheel, wheel_members(), DIST_INFO)
        report = make_stored_report()
        self.report = report.__class__(**{**_fields(report), "wheel": WHEEL, "sha256": hash_file(self.wheel)})

    def use(self) -> Any:
        house = Wheelhouse(self.root)
        found = house.find(self.report.digest, self.report.proof, "tiny")
        listed = [outline.verdict for _, outline in house.outlines()]
        served = found is not None and (found.report, found.path.read_bytes())
        # What is built anew is stored again.
        house.add(self.wheel, self.report)
        return served, listed

    def judge(self, sound: Any, found: Any) -> None:
        served, listed = found
        assert served is False or served == sound[0], "a wheel or a report is served that was never stored"
        assert "passed" not in listed or served == sound[0], "it is listed as passed"


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


KEEPERS: tuple[type[Keeper], ...] = (
    Records, KeptFacts, Builds, Sources, Archives, Dependencies, Tools, KeptModels, Programs, Objects, OwnObjects,
    Wheelhouses,
)  # fmt: skip
