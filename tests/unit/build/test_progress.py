"""What a build prints: ninja's counts, and the first line that says what is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truewheel.build.progress import NinjaReader


def read(text):
    reader = NinjaReader()
    for line in text.splitlines():
        reader.feed(line)
    return reader


@pytest.mark.parametrize(
    ("line", "done", "total", "detail"),
    [
        ("[1/23] Building C object ggml/src/CMakeFiles/ggml-base.dir/ggml.c.o", 1, 23, "ggml.c.o"),
        ("[23/23] Linking CXX shared library bin/libllama.so", 23, 23, "libllama.so"),
        ("[2/9] Generating build details from Git", 2, 9, "build details from Git"),
        ("[0/1] Re-running CMake...", 0, 1, "CMake..."),
        ("[3/4] cd /tmp/x && python make.py", 3, 4, "x && python make.py"),
    ],
)
def test_ninjas_lines_move_the_progress(line, done, total, detail):
    reader = NinjaReader()
    assert reader.feed(line)
    assert (reader.done, reader.total, reader.detail, reader.error) == (done, total, detail, "")


@pytest.mark.parametrize(
    "line",
    ["", "-- The C compiler identification is GNU 13.2.0", "[12/] Building", "[1/2]Building", "  [1/2] Building x"],
)
def test_other_lines_do_not(line):
    reader = NinjaReader()
    assert not reader.feed(line)
    assert (reader.done, reader.total, reader.error) == (0, 0, "")


GCC = """\
[1/2] Building C object CMakeFiles/toy.dir/toy.c.o
FAILED: [code=1] CMakeFiles/toy.dir/toy.c.o
/usr/bin/gcc-13 -O3 -Werror -o CMakeFiles/toy.dir/toy.c.o -c /src/toy.c
/src/toy.c: In function 'toy':
/src/toy.c:3:5: warning: unused variable 'error' [-Wunused-variable]
/src/toy.c:7:12: error: 'y' undeclared (first use in this function)
    7 |     return y;
/src/toy.c:9:1: error: expected ';' before '}' token
ninja: build stopped: subcommand failed.
"""
GCC_FATAL = """\
/src/toy.cpp:1:10: fatal error: missing.h: No such file or directory
compilation terminated.
"""
CLANG = """\
In file included from /src/toy.cpp:1:
/src/toy.h:12:3: error: no member named 'x' in namespace 'std'
1 error generated.
"""
CLANG_TARGET = """\
clang-18: error: unknown target CPU 'x86-64-v9'
clang-18: note: valid target CPU values are: nocona, core2
"""
GCC_FLAG = """\
gcc: error: unrecognized command-line option '-mfoo'; did you mean '-mfma'?
"""
GCC_FULL_PATH = """\
x86_64-linux-gnu-gcc: error: unrecognized command-line option '-mfoo'
"""
LLD = """\
ld.lld: error: undefined symbol: toy_answer
>>> referenced by toy.c
clang: error: linker command failed with exit code 1 (use -v to see invocation)
"""
ZIG_LLD = """\
error: undefined symbol: toy_answer
    note: referenced by toy.o
ld.lld: error: undefined symbol: toy_answer
"""
GNU_LD = """\
/usr/bin/ld: CMakeFiles/toy.dir/toy.c.o: in function `toy':
toy.c:(.text+0xe): undefined reference to `toy_answer'
collect2: error: ld returned 1 exit status
"""
GNU_LD_LIBRARY = """\
/usr/bin/ld: cannot find -lopenblas: No such file or directory
collect2: error: ld returned 1 exit status
"""
GNU_LD_TARGET = """\
/usr/bin/x86_64-linux-gnu-ld: cannot find crti.o: No such file or directory
collect2: error: ld returned 1 exit status
"""
CMAKE = """\
-- Configuring
CMake Error at CMakeLists.txt:12 (message):
  This engine needs a feature that is not here.


-- Configuring incomplete, errors occurred!
"""
CMAKE_BLANK = """\
CMake Error at /src/CMakeLists.txt:3 (find_package):

  Could not find a package configuration file
"""
CMAKE_PLAIN = """\
CMake Error: The source directory "/src" does not appear to contain CMakeLists.txt.
Specify --help for usage, or press the help button on the CMake GUI.
"""
KILLED = """\
g++: fatal error: Killed signal terminated program cc1plus
compilation terminated.
"""
CRASHED = """\
during GIMPLE pass: vect
/src/toy.c:5:6: internal compiler error: in vect_transform_stmt
"""
FULL = """\
/src/toy.c:3:5: error: something
/tmp/cc1.s: fatal error: error writing to /tmp/cc1.o: No space left on device
/src/toy.c:9:5: error: something else
"""


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (GCC, "/src/toy.c:7:12: error: 'y' undeclared (first use in this function)"),
        (GCC_FATAL, "/src/toy.cpp:1:10: fatal error: missing.h: No such file or directory"),
        (CLANG, "/src/toy.h:12:3: error: no member named 'x' in namespace 'std'"),
        (CLANG_TARGET, "clang-18: error: unknown target CPU 'x86-64-v9'"),
        (GCC_FLAG, "gcc: error: unrecognized command-line option '-mfoo'; did you mean '-mfma'?"),
        (GCC_FULL_PATH, "x86_64-linux-gnu-gcc: error: unrecognized command-line option '-mfoo'"),
        (LLD, "ld.lld: error: undefined symbol: toy_answer"),
        (ZIG_LLD, "ld.lld: error: undefined symbol: toy_answer"),
        (GNU_LD, "toy.c:(.text+0xe): undefined reference to `toy_answer'"),
        (GNU_LD_LIBRARY, "/usr/bin/ld: cannot find -lopenblas: No such file or directory"),
        (GNU_LD_TARGET, "/usr/bin/x86_64-linux-gnu-ld: cannot find crti.o: No such file or directory"),
        (CMAKE, "CMake Error at CMakeLists.txt:12 (message): This engine needs a feature that is not here."),
        (
            CMAKE_BLANK,
            "CMake Error at /src/CMakeLists.txt:3 (find_package): Could not find a package configuration file",
        ),
        (CMAKE_PLAIN, 'CMake Error: The source directory "/src" does not appear to contain CMakeLists.txt.'),
        (KILLED, "g++: fatal error: Killed signal terminated program cc1plus"),
        (CRASHED, "/src/toy.c:5:6: internal compiler error: in vect_transform_stmt"),
        (FULL, "/tmp/cc1.s: fatal error: error writing to /tmp/cc1.o: No space left on device"),
    ],
)
def test_the_first_line_that_says_what_is_wrong(output, error):
    assert read(output).error == error


@pytest.mark.parametrize(
    "line",
    [
        "/src/error.c:3:5: warning: comparison of error: codes",
        "ld: warning: x.o: missing .note.GNU-stack section",
        "/usr/bin/ld: warning: libx.so.1, needed by liby.so, not found (try using -rpath or -rpath-link)",
        "clang: warning: argument unused during compilation: '-Wno-error:x' [-Wunused-command-line-argument]",
        "/usr/bin/ld: x.o: in function `on_error':",
        "clang-18: note: the error: below",
        "-- Looking for pthread_create - not found",
    ],
)
def test_what_is_no_error(line):
    assert read(line).error == ""


def test_a_command_line_that_is_echoed_is_no_error():
    assert read("/usr/bin/gcc -DMESSAGE=error -c error.c\nclang++ -Werror -c x.cpp\n").error == ""


@given(st.lists(st.text(max_size=40) | st.sampled_from([*GCC.splitlines(), *CMAKE.splitlines()]), max_size=20))
def test_any_lines_are_read(lines):
    reader = NinjaReader()
    for line in lines:
        reader.feed(line)
    assert isinstance(reader.error, str)
