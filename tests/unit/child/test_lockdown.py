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

import truewheel
from truewheel.child.programs import calls_x86_64, filters, lockdown

FOLDER = Path(truewheel.__file__).parents[1]
NO_FILTER = 97
PREAMBLE = f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
from truewheel.child.programs import landlock, lockdown, spaces
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
        "check(libc.syscall(425, 1, ctypes.byref(ctypes.create_string_buffer(120))))",
        "check(libc.syscall(298, 0, 0, -1, -1, 0))",
        "check(libc.prctl(1, 0, 0, 0, 0))",
        "check(libc.kill(os.getppid(), 0))",
        "check(libc.setpriority(0, os.getppid(), 19))",
        "check(libc.syscall(203, os.getppid(), 8, b'x' * 8))",
        "check(libc.fcntl(1, 8, os.getppid()))",
        "check(libc.link(b'/etc/passwd', b'x'))",
        "check(libc.mknod(b'x', 0o10600, 0))",
        "check(libc.syscall(29, 1, 4096, 0o1600))",
        "os.open('/etc/passwd', os.O_RDONLY | os.O_TRUNC)",
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
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


LISTENING = LOCK.replace(
    "reason := lockdown.forbid()",
    "reason := spaces.leave()[1] or spaces.raise_loopback() or lockdown.forbid(listening=True)",
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
        print(libc.prctl(39, 0, 0, 0, 0), libc.prctl(21, 0, 0, 0, 0), flush=True)
        lockdown.forbid()
    """
    result = locked(body)
    assert result.stdout == "1 2\n"
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
    for code in (filters.running(), filters.running(listening=True), filters.running(program_name=1 << 40), COMPUTING):
        assert len(code) % 8 == 0
        instructions = decode(code)
        assert len(instructions) < 4096
        for position, (operation, if_true, if_false, value) in enumerate(instructions):
            if operation & 0x07 == 0x05:
                assert position + 1 + (value if operation == 0x05 else max(if_true, if_false)) < len(instructions)
        assert instructions[-1][0] == 0x06


COMPUTING = filters.computing()
ARCHITECTURE = calls_x86_64.ARCHITECTURE


def decode(code):
    return [struct.unpack_from("=HBBI", code, offset) for offset in range(0, len(code), 8)]


def follow(code, number, *arguments, architecture=ARCHITECTURE):
    """Run a program as the kernel does; return what follows, and how many steps it took."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    instructions, place, value, steps = decode(code), 0, 0, 0
    while True:
        operation, if_true, if_false, constant = instructions[place]
        place, steps = place + 1, steps + 1
        if operation == 0x06:
            return constant, steps
        if operation == 0x20:
            value = struct.unpack_from("=I", data, constant)[0]
        elif operation == 0x54:
            value &= constant
        elif operation == 0x05:
            place += constant
        else:
            met = {0x15: value == constant, 0x35: value >= constant}[operation]
            place += if_true if met else if_false


TABLE = calls_x86_64
NUMBER = TABLE.NUMBERS


def test_each_call_of_the_table_leads_to_what_it_says():
    code = filters.running()
    for names, action in (
        (TABLE.ALLOWED, TABLE.ALLOW),
        (TABLE.ABSENT, TABLE.ENOSYS),
        (TABLE.PRETENDED, TABLE.PRETEND),
        (TABLE.TRAPPED, TABLE.TRAP),
        (TABLE.KILLED, TABLE.KILL),
        (TABLE.LISTENING, TABLE.EPERM),
    ):
        for name in names:
            assert follow(code, NUMBER[name])[0] == action, name
    named = set(NUMBER.values())
    for number in range(600):
        if number not in named:
            assert follow(code, number)[0] == TABLE.EPERM, number
    assert follow(code, 0x40000000)[0] == follow(code, 1, architecture=3)[0] == TABLE.KILL


def test_no_call_is_in_two_lists():
    lists = [TABLE.ALLOWED, TABLE.ABSENT, TABLE.PRETENDED, TABLE.TRAPPED, TABLE.KILLED, TABLE.LISTENING]
    names = [name for each in [*lists, TABLE.LOOKED_AT] for name in each]
    assert len(names) == len(set(names))
    assert len(set(NUMBER.values())) == len(NUMBER)


@pytest.mark.parametrize(
    ("name", "arguments", "action"),
    [
        ("clone", (0x3D0F00,), TABLE.ALLOW),
        ("clone", (0x11,), TABLE.TRAP),
        ("clone", (0x3D0F00 | 0x10000000,), TABLE.TRAP),
        ("kill", (os.getpid(), 9), TABLE.ALLOW),
        ("kill", (os.getppid(), 19), TABLE.TRAP),
        ("kill", (0xFFFFFFFF, 9), TABLE.TRAP),
        ("kill", (os.getppid(), 0), TABLE.EPERM),
        ("tgkill", (os.getppid(), 1, 9), TABLE.TRAP),
        ("prctl", (15,), TABLE.ALLOW),
        ("prctl", (1,), TABLE.EPERM),
        ("ioctl", (0, 0x5401), TABLE.ALLOW),
        ("ioctl", (0, 0x5412), TABLE.ENOTTY),
        ("socketpair", (1, 1 | 0o2000000), TABLE.ALLOW),
        ("socketpair", (1, 2), TABLE.EPERM),
        ("socketpair", (16, 1), TABLE.EPERM),
        ("openat", (0, 0, 0o1101), TABLE.ALLOW),
        ("openat", (0, 0, 0o1000), TABLE.EPERM),
        ("sched_setaffinity", (0,), TABLE.ALLOW),
        ("sched_setaffinity", (os.getpid() + 1,), TABLE.ALLOW),
        ("sched_setaffinity", (os.getpid() - 1,), TABLE.EPERM),
        ("prlimit64", (0,), TABLE.ALLOW),
        ("prlimit64", (1,), TABLE.EPERM),
        ("execve", (1 << 40,), TABLE.TRAP),
    ],
)
def test_arguments_are_looked_at(name, arguments, action):
    assert follow(filters.running(), NUMBER[name], *arguments)[0] == action


def test_one_program_alone_may_be_started_by_its_address():
    code, execve = filters.running(program_name=(7 << 32) + 5), NUMBER["execve"]
    assert follow(code, execve, (7 << 32) + 5)[0] == TABLE.ALLOW
    for other in (5, 7 << 32, (7 << 32) + 6, (8 << 32) + 5):
        assert follow(code, execve, other)[0] == TABLE.TRAP


def test_threads_that_wait_are_let_through_first():
    code = filters.running()
    assert max(follow(code, NUMBER[name])[1] for name in ("futex", "sched_yield", "read")) <= 8
    assert max(follow(code, NUMBER[name])[1] for name in TABLE.ALLOWED) <= 32


def test_a_process_that_computes_may_do_nothing_else():
    allowed = {number for number in range(600) if follow(COMPUTING, number)[0] == TABLE.ALLOW}
    assert allowed == {NUMBER[name] for name in TABLE.COMPUTING}
    assert follow(COMPUTING, NUMBER["newfstatat"], 3, 0, 0, 0x1000)[0] == TABLE.ALLOW


def test_the_lock_needs_nothing_but_the_standard_library():
    body = """
        own = {name for name in sys.modules if name.startswith("truewheel")}
        print(*sorted(name for name in own if not name.startswith("truewheel.child.programs")))
    """
    assert run(body, lock="").stdout == "truewheel truewheel.child\n"
    assert resource.getrlimit(resource.RLIMIT_CORE) is not None
