"""Files that claim or repeat far more than they hold: each is read within the bar, in a process of its own.

What a reader took is what the kernel says of it when it is gone. One that ends by a limit has not survived: its limits
are a last resort.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.frame import Case
from tests.faults.hostile_archives import FILENAME, hostile_archives, hostile_models, wheel_of
from tests.faults.hostile_elf import hostile_libraries
from truewheel.allowance import Allowance, OverworkedError
from truewheel.examine.bounds import bound_archive, weight_of
from truewheel.wheel.archive import Entry

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "PYTHONWARNINGS": "ignore"}
SECONDS, PEAK_MIB, PARENT_MIB = 20, 500, 300
Maker = Callable[[], bytes]
Hold = Callable[[str, Path], None]


@pytest.fixture(scope="module")
def hold() -> Iterator[Hold]:
    """Return a function that has a file read, and fails when that takes more than the bar or has no good end."""
    command = [sys.executable, "-m", "tests.faults.reader"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, text=True, **pipes) as reader:

        def read(kind: str, path: Path) -> None:
            reader.stdin.write(f"{kind} {path}\n")
            reader.stdin.flush()
            seconds, peak, status = json.loads(reader.stdout.readline())
            assert status == 0, f"it ended with status {status} after {seconds:.1f} s and {peak:.0f} MiB"
            assert seconds <= SECONDS, f"it took {seconds:.1f} s"
            assert peak <= PEAK_MIB, f"it took {peak:.0f} MiB"

        yield read


def list_cases(kind: str, makers: list[tuple[str, Maker]], hold: Hold, path: Path) -> list[Case]:
    """Return a case a maker: its file is made, read and deleted."""

    def attempt(make: Maker) -> None:
        path.write_bytes(make())
        hold(kind, path)
        path.unlink()

    return [Case(name, lambda make=make: attempt(make)) for name, make in makers]


def test_libraries(survive: Callable[..., None], hold: Hold, tmp_path: Path) -> None:
    libraries = hostile_libraries()
    assert len(libraries) >= 300
    survive("adversarial libraries", list_cases("elf", libraries, hold, tmp_path / "hostile.so"), 20)


def test_archives(survive: Callable[..., None], hold: Hold, tmp_path: Path) -> None:
    survive("adversarial archives", list_cases("zip", hostile_archives(), hold, tmp_path / FILENAME), 8)


def test_models(survive: Callable[..., None], hold: Hold, tmp_path: Path) -> None:
    survive("adversarial models", list_cases("gguf", hostile_models(), hold, tmp_path / "hostile.gguf"), 8)


_PARENT = """
import json, resource, sys
from pathlib import Path
from truewheel.errors import TruewheelError
from truewheel.examine.run import inspect_wheel
try:
    facts = inspect_wheel(Path(sys.argv[1]), cache=False)
    said = {name: library.damage for name, library in facts.libraries.items()}
except TruewheelError as error:
    said = {"refused": error.message}
(peak,) = (int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
children = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([peak, children.ru_utime + children.ru_stime, said]))
"""

_THROUGH = ("999 segments of the same bytes, flags 5", "3072 KiB of returns", "300000 functions of one name, table 11")


def _whole_way(make: Maker, path: Path) -> None:
    """Read a hostile library and a sound one in one wheel, as `check` does."""
    sound = dict(hostile_libraries())["header at 16: 0x0"]
    path.write_bytes(wheel_of({"toy_engine/hostile.so": make(), "toy_engine/sound.so": sound()}))
    command = [sys.executable, "-c", _PARENT, str(path)]
    done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    parent, seconds, said = json.loads(done.stdout)
    assert parent <= PARENT_MIB, f"the parent took {parent:.0f} MiB"
    assert seconds <= 3 * SECONDS, f"the children took {seconds:.0f} s"
    assert "died" not in said["toy_engine/sound.so"], said


def test_the_parent(survive: Callable[..., None], tmp_path: Path) -> None:
    makers = dict(hostile_libraries())
    path = tmp_path / FILENAME
    cases = [Case(name, lambda name=name: _whole_way(makers[name], path)) for name in _THROUGH]
    survive("adversarial libraries through the parent", cases, 2)


def test_the_measure_can_fail(hold: Hold, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"it took 6.. MiB"):
        hold("hoard", tmp_path)
    with pytest.raises(AssertionError, match="status 256"):
        hold("fail", tmp_path)


def test_an_allowance_ends() -> None:
    allowance = Allowance(1000)
    allowance.spend(8_000_000)
    allowance.spend(64_000)
    with pytest.raises(OverworkedError, match="more work than its size allows"):
        allowance.spend(1)


def test_limits_follow_the_size() -> None:
    assert bound_archive(42_000).cpu_seconds == SECONDS
    assert bound_archive(100 << 20).cpu_seconds > 10 * SECONDS
    assert weight_of(Entry(64 << 20, "", compressed=60_000)) < 4 << 20
