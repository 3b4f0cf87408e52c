"""What every build does, whatever its backend."""

import pytest
from factories import LIBRARY, make_crate_plan, make_plan_of, make_toolchain, make_zig

from truewheel.build.builder import Builder, BuildJob, carry_out
from truewheel.build.evidence import Evidence
from truewheel.build.product import BuildTools, BuiltWheel
from truewheel.build.progress import NinjaReader
from truewheel.console import Console
from truewheel.errors import BuildError
from truewheel.fetch.source import SourceTree
from truewheel.machine.tools import Tool

EVIDENCE = Evidence({"A": "1"}, ())


class Stub(Builder):
    """Leaves as many wheels as it was asked for."""

    wheels = 1

    def __init__(self, job):
        super().__init__(job)
        self.reader, self.calls = NinjaReader(), []

    def lay_out(self):
        self.calls.append(("lay out", sorted(path.name for path in self.job.work.iterdir())))

    def variables(self, _tools, jobs):
        return {"PATH": "/usr/bin:/bin", "JOBS": str(jobs)}

    def call(self, _tools, _environment, follow):
        self.calls.append(("call", self.note.exists()))
        follow("[1/2] Building C object a.o")
        for number in range(self.wheels):
            (self.job.work / "wheel" / f"{number}.whl").write_bytes(b"a wheel")

    def evidence(self):
        return EVIDENCE


@pytest.fixture
def compiler(tmp_path):
    """A compiler that writes its own arguments down."""
    path = tmp_path / "cc"
    path.write_text("""#!/bin/sh
echo "cc 1.0 $*" >> "${0%/*}/calls"
[ "$1" = --version ] && echo "cc 1.0"
while [ $# -gt 1 ]; do [ "$1" = -o ] && echo probe > "$2"; shift; done
exit 0
""")
    path.chmod(0o755)
    return str(path)


def job_of(tmp_path, plan, base=None):
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    (work / "old").write_text("of the last build")
    tree = SourceTree(tmp_path, plan.subject.source, fresh=True)
    return BuildJob(plan, tree, base, work, tmp_path / "log", None, print)


def carried_out(stub, toolchain):
    tool = Tool("cmake", stub.job.work, "1", "machine")
    return carry_out(stub, BuildTools(toolchain, tool, tool, None), 3, Console(quiet=True))


def test_a_build_begins_in_an_empty_folder_and_is_whole(tmp_path, compiler):
    stub = Stub(job_of(tmp_path, make_plan_of()))
    built = carried_out(stub, make_toolchain(cc=compiler))
    assert stub.calls == [("lay out", ["wheel"]), ("call", False)]
    assert (built.path.name, built.plan, built.evidence) == ("0.whl", stub.job.plan, EVIDENCE)
    assert (built.cpuid_library, built.compiler, built.base, built.licences) == (b"probe\n", "cc 1.0", None, {})
    assert stub.reader.done == 1


def test_where_the_linker_marks_nothing_an_object_with_the_note_is_there_before_the_call(tmp_path, compiler):
    stub = Stub(job_of(tmp_path, make_plan_of(toolchain=make_toolchain(isa_note="object"))))
    carried_out(stub, make_toolchain(cc=compiler, isa_note="object"))
    assert stub.calls[1] == ("call", True)
    # The bits of x86-64, v2 and v3.
    assert "-DLEVEL=7" in (tmp_path / "calls").read_text()


@pytest.mark.parametrize(("kind", "march"), [("gcc", "x86-64"), ("clang", "x86-64"), ("zig", "x86_64")])
def test_what_asks_the_cpu_is_compiled_for_the_least_one(tmp_path, compiler, kind, march):
    carried_out(Stub(job_of(tmp_path, make_plan_of())), make_zig(kind=kind, cc=compiler))
    assert f" -march={march} " in (tmp_path / "calls").read_text()


def test_libraries_that_are_taken_bring_what_asks_the_cpu(tmp_path, compiler):
    plan = make_plan_of()
    base = BuiltWheel(tmp_path / LIBRARY, plan, None, EVIDENCE, b"theirs", "cc 0.9")
    built = carried_out(Stub(job_of(tmp_path, make_crate_plan(), base)), make_toolchain(cc=compiler))
    assert (built.cpuid_library, built.base) == (b"theirs", base)


@pytest.mark.parametrize("wheels", [0, 2])
def test_a_backend_leaves_one_wheel(tmp_path, compiler, wheels, monkeypatch):
    monkeypatch.setattr(Stub, "wheels", wheels)
    with pytest.raises(BuildError, match=f"the backend left {wheels} wheels instead of one"):
        carried_out(Stub(job_of(tmp_path, make_plan_of())), make_toolchain(cc=compiler))
