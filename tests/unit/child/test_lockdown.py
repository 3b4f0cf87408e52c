"""What a process can no longer do once it has locked itself down, each shown in a child of its own."""

import os
import resource
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import truewheel.child.programs
from truewheel.child.programs import lockdown

FOLDER = Path(truewheel.child.programs.__file__).parent
NO_FILTER = 97
PREAMBLE = f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
import lockdown
sys.path.pop(0)
"""
LOCK = """
lockdown.limit(60, 4 << 30, 1 << 20)
if reason := lockdown.forbid():
    print(reason)
    sys.exit(97)
"""


def run(body, *, lock=LOCK, before="", cwd=None):
    """Run a body in a locked-down child, without site-packages, as the smoke test does."""
    script = PREAMBLE + textwrap.dedent(before) + lock + textwrap.dedent(body)
    command = [sys.executable, "-I", "-S", "-B", "-X", "faulthandler", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def locked():
    """Skip where this system lets no process lock itself down."""
    done = run("pass")
    if done.returncode == NO_FILTER:
        pytest.skip(f"no process can lock itself down here: {done.stdout.strip()}")
    assert done.returncode == 0, done.stderr
    return run


def test_ordinary_work_goes_on(locked, tmp_path):
    body = """
        import ctypes, json, math, os, time
        with open("file", "w") as stream:
            stream.write("x" * 1000)
        print(os.path.getsize("file"), json.dumps([math.sqrt(4)]), len(os.listdir("/proc/self/task")))
        ctypes.CDLL(None).getpid()
        time.sleep(0.01)
    """
    assert locked(body, cwd=tmp_path).stdout == "1000 [2.0] 1\n"


def test_threads_start_and_end(locked):
    body = """
        import threading
        done = []
        threads = [threading.Thread(target=done.append, args=(number,)) for number in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(sorted(done))
    """
    result = locked(body)
    assert (result.returncode, result.stdout) == (0, "[0, 1, 2, 3]\n"), result.stderr


@pytest.mark.parametrize(
    "body",
    [
        "import os; os.fork()",
        "import os; os.execv('/bin/true', ['true'])",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
        "import os; os.system('true')",
        "import subprocess; subprocess.run(['/bin/true'])",
        "import subprocess; subprocess.run('true', shell=True, close_fds=False)",
        "import ctypes; ctypes.CDLL(None).vfork()",
        "import ctypes; ctypes.CDLL(None).syscall(57)",
        "import ctypes; ctypes.CDLL(None).syscall(56, 17, 0, 0, 0, 0)",
        "import ctypes; ctypes.CDLL(None).syscall(322, -1, b'', 0, 0, 0)",
        "import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0)",
        "import ctypes; ctypes.CDLL(None).syscall(310, 1, 0, 0, 0, 0, 0)",
        "import ctypes; ctypes.CDLL(None).syscall(311, 1, 0, 0, 0, 0, 0)",
        "import socket; socket.socket(socket.AF_INET)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "import socket; socket.socket(socket.AF_INET6)",
        "import socket; socket.socket(16, socket.SOCK_RAW)",
        "import threading, os; t = threading.Thread(target=os.fork); t.start(); t.join()",
    ],
)
def test_starting_a_process_opening_a_socket_and_tracing_end_the_process(locked, body):
    result = locked(f"print('before', flush=True)\n{body}\nprint('after')")
    assert (result.returncode, result.stdout) == (-signal.SIGSYS, "before\n"), result.stderr


def test_the_traceback_names_the_place(locked):
    body = """
        import os
        def innocent_looking():
            os.fork()
        innocent_looking()
    """
    result = locked(body)
    assert result.returncode == -signal.SIGSYS
    assert "innocent_looking" in result.stderr


def test_a_thread_that_was_there_before_is_locked_down_too(locked):
    before = """
        import os, threading
        go = threading.Event()
        def wait_and_fork():
            go.wait()
            os.fork()
        thread = threading.Thread(target=wait_and_fork)
        thread.start()
    """
    assert locked("go.set(); thread.join(); print('after')", before=before).returncode == -signal.SIGSYS


@pytest.mark.parametrize(
    "call",
    [
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "check(libc.unshare(0x10000000))",
        "check(libc.mount(b'x', b'/x', b'tmpfs', 0, None))",
        "check(libc.syscall(425, 1, ctypes.byref(ctypes.create_string_buffer(120))))",
        "check(libc.syscall(321, 0, 0, 0))",
        "check(libc.setns(0, 0))",
    ],
)
def test_what_name_services_and_run_times_try_is_refused_and_goes_on(locked, call):
    body = f"""
        import ctypes, os, socket
        libc = ctypes.CDLL(None, use_errno=True)
        def check(result):
            if result == -1:
                raise OSError(ctypes.get_errno(), "refused")
        try:
            {call}
        except PermissionError:
            print("refused")
    """
    result = locked(body)
    assert (result.returncode, result.stdout) == (0, "refused\n"), result.stderr


LISTENING = LOCK.replace("reason := lockdown", "reason := lockdown.leave_network() or lockdown").replace(
    "forbid()", "forbid(listening=True)"
)


def listen(body):
    done = run(body, lock=LISTENING)
    if done.returncode == NO_FILTER:
        pytest.skip(f"not to be had here: {done.stdout.strip()}")
    return done


@pytest.mark.usefixtures("locked")
def test_a_server_may_listen_and_nothing_goes_out():
    body = """
        import socket
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.1)
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for name, call in (
            ("connect", lambda: socket.socket().connect(server.getsockname())),
            ("accept", server.accept),
            ("sendto", lambda: other.sendto(b"x", ("127.0.0.1", 9))),
            ("sendmsg", lambda: other.sendmsg([b"x"], [], 0, ("127.0.0.1", 9))),
        ):
            try:
                call()
            except (PermissionError, TimeoutError) as error:
                print(name, type(error).__name__)
    """
    done = listen(body)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [
        "connect PermissionError", "accept TimeoutError", "sendto PermissionError", "sendmsg PermissionError",
    ]  # fmt: skip


@pytest.mark.usefixtures("locked")
def test_nobody_else_is_in_the_network_of_a_server():
    body = """
        import os
        with open("/proc/self/net/dev") as stream:
            print(*[line.partition(":")[0].strip() for line in stream if ":" in line])
        print(os.stat("/proc/self/ns/net").st_ino)
    """
    done = listen(body)
    assert done.returncode == 0, done.stderr
    names, network = done.stdout.splitlines()
    assert names == "lo"
    assert int(network) != Path("/proc/self/ns/net").stat().st_ino


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("family", ["AF_INET6", "AF_NETLINK"])
def test_a_server_gets_no_other_sockets(family):
    done = listen(f"import socket; socket.socket(socket.{family}, socket.SOCK_RAW)")
    assert done.returncode == -signal.SIGSYS


def test_the_lock_cannot_be_taken_off(locked):
    body = """
        import ctypes
        libc = ctypes.CDLL(None)
        print(libc.prctl(39, 0, 0, 0, 0), libc.prctl(21, 0, 0, 0, 0), lockdown.forbid() == "")
        import os
        os.fork()
    """
    result = locked(body)
    assert result.stdout == "" or result.stdout.startswith("1 2 ")
    assert result.returncode == -signal.SIGSYS


def test_a_file_cannot_grow_above_its_limit(locked, tmp_path):
    body = """
        try:
            with open("file", "wb", buffering=0) as stream:
                for _ in range(3):
                    stream.write(bytes(1 << 20))
        except OSError as error:
            print(error.errno)
    """
    result = locked(body, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "27\n"), result.stderr
    assert (tmp_path / "file").stat().st_size <= 1 << 20


LIMIT = "lockdown.limit(60, 1 << 30, 1 << 20)\n"


def test_memory_is_bounded():
    body = """
        try:
            bytearray(2 << 30)
        except MemoryError:
            print("bounded")
    """
    assert run(body, lock=LIMIT).stdout == "bounded\n"


def test_open_files_are_bounded():
    body = """
        files = []
        try:
            for _ in range(300):
                files.append(open("/dev/null"))
        except OSError as error:
            print(error.errno, len(files) < 256)
    """
    assert run(body, lock=LIMIT).stdout.startswith("24 True")


def test_cpu_time_is_bounded_and_ends_with_a_signal_that_says_so():
    result = run("while True: pass", lock="lockdown.limit(1, 4 << 30, 1 << 20)\n")
    assert result.returncode == -signal.SIGXCPU


def test_limits_are_hard_and_forbid_core_dumps():
    body = """
        import resource
        for kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
            print(*resource.getrlimit(kind))
    """
    assert run(body, lock=LIMIT).stdout.splitlines() == ["1073741824 1073741824", "1048576 1048576", "0 0"]


def test_a_lower_limit_that_is_there_already_is_kept():
    before = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
    """
    body = "print(*resource.getrlimit(resource.RLIMIT_FSIZE))"
    assert run(body, lock=LIMIT, before=before).stdout == "5000 5000\n"


def test_another_architecture_is_told_and_nothing_is_done(monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "x", "6.0", "#1", "riscv64")))
    assert lockdown.forbid() == "no filter is written for riscv64"


def test_the_filter_is_a_sound_program():
    code = lockdown.build_filter()
    assert len(code) % 8 == 0
    instructions = [struct.unpack_from("=HBBI", code, offset) for offset in range(0, len(code), 8)]
    assert len(instructions) < 4096
    for position, (operation, if_true, if_false, _) in enumerate(instructions):
        if operation & 0x07 == 0x05:
            assert position + 1 + max(if_true, if_false) < len(instructions)
    assert instructions[-1] == (0x06, 0, 0, 0x7FFF0000)


def test_the_lock_needs_nothing_but_the_standard_library():
    assert run("print('truewheel' in sys.modules)", lock="").stdout == "False\n"
    assert resource.getrlimit(resource.RLIMIT_CORE) is not None
