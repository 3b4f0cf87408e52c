"""Turn a table of system calls into a seccomp program, and install it. Standard library only.

What is called most is compared first; for the rest, a search by halves leads to what follows.
"""

import ctypes
import os
import struct

from truewheel.child.programs import calls_x86_64

TARGETS = {"x86_64": calls_x86_64}
"""By the machine as uname says it; another architecture is another table."""

_PR_SET_NO_NEW_PRIVS = 38
_SYS_SECCOMP = 317
_SECCOMP_SET_MODE_FILTER = 1
_FILTER_FLAG_TSYNC = 1
_X32_BIT = 0x40000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_LD, _AND, _JUMP, _JEQ, _JGE, _RET = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
_SHORT = 255
_HIGH_OF_FIRST = 0.5
"""The upper half of argument 0."""


def _instruction(code, value, if_true=0, if_false=0):
    return struct.pack("=HBBI", code, if_true, if_false, value & 0xFFFFFFFF)


def _result(action):
    return [_instruction(_RET, action)]


def _test(test, otherwise):
    """Return one comparison of an argument; what does not meet it goes on behind it."""
    argument, mask, how, values, action = test
    found = [_instruction(_LD, _ARGUMENTS + int(8 * argument)), _instruction(_AND, mask)]
    for value in values:
        value = os.getpid() if value == "self" else value
        compare = _JGE if how == ">=" else _JEQ
        if action is None:
            found += [_instruction(compare, value, 1, 0), *_result(otherwise)]
        else:
            found += [_instruction(compare, value, 0, 1), *_result(action)]
    return found


def _look(tests, otherwise):
    """Return the body of a call whose arguments are looked at."""
    return [part for test in tests for part in _test(test, otherwise)] + _result(otherwise)


def _search(bodies):
    """Return a search by halves: bodies is a list of first numbers, each with what follows from it on."""
    if len(bodies) == 1:
        return bodies[0][1]
    middle = len(bodies) // 2
    low, high = _search(bodies[:middle]), _search(bodies[middle:])
    number = bodies[middle][0]
    if len(low) <= _SHORT:
        return [_instruction(_JGE, number, len(low), 0), *low, *high]
    return [_instruction(_JGE, number, 0, 1), _instruction(_JUMP, len(low)), *low, *high]


def build(actions, frequent, otherwise, target, foreign):
    """Return a program as bytes.

    actions: what follows, by the number of a call: an action, or tests and an action for when none is met.
    frequent: numbers that are looked at first.
    otherwise: what follows for every other call.
    target: the table of this architecture.
    foreign: what follows for calls of the same architecture by another way.
    """
    program = [
        _instruction(_LD, _ARCHITECTURE),
        _instruction(_JEQ, target.ARCHITECTURE, 1, 0),
        *_result(target.KILL),
        _instruction(_LD, _NUMBER),
    ]
    for number in frequent:
        program += [_instruction(_JEQ, number, 0, 1), *_result(target.ALLOW)]
    bodies = [(0, _result(otherwise))]
    for number in sorted(actions):
        action = actions[number]
        body = _look(*action) if isinstance(action, tuple) else _result(action)
        if bodies[-1][0] == number:
            bodies.pop()
        if not bodies or bodies[-1][1] != body or isinstance(action, tuple):
            bodies.append((number, body))
        if number + 1 not in actions:
            bodies.append((number + 1, _result(otherwise)))
    bodies.append((_X32_BIT, _result(foreign)))
    return b"".join(program + _search(bodies))


def running(listening=False, program_name=0):
    """Return the program for a child that runs an engine.

    listening: let it open Internet sockets and wait on them for connections, but neither connect nor send to anybody:
        for an engine that starts a server before it does anything else.
    program_name: the address of the one text whose program may still be started in place of this one.
    """
    target = TARGETS[os.uname().machine]
    number = target.NUMBERS
    actions = {number[name]: target.EPERM for name in ("connect", "sendmmsg")}
    lists = (
        (target.ALLOWED, target.ALLOW),
        (target.ABSENT, target.ENOSYS),
        (target.PRETENDED, target.PRETEND),
        (target.TRAPPED, target.TRAP),
        (target.KILLED, target.KILL),
        (target.LISTENING if listening else (), target.ALLOW),
    )
    for names, action in lists:
        actions.update({number[name]: action for name in names})
    looked_at = dict(target.LOOKED_AT, **(target.LISTENING_LOOKED_AT if listening else {}))
    actions.update({number[name]: tests for name, tests in looked_at.items()})
    if program_name:
        actions[number["execve"]] = (_only_text(program_name, target), target.TRAP)
    return build(actions, [number[name] for name in target.FREQUENT], target.EPERM, target, target.KILL)


def _only_text(address, target):
    """Return the tests for one text, at an address that is random and unknown to the program that is started."""
    whole = target.EVERY
    high = (_HIGH_OF_FIRST, whole, "=", (address >> 32,), None)
    return (high, (0, whole, "=", (address & whole,), target.ALLOW))


def computing():
    """Return the program for a process that computes on what it has open; every other call is refused."""
    target = TARGETS[os.uname().machine]
    actions = {target.NUMBERS[name]: target.ALLOW for name in target.COMPUTING}
    actions.update({target.NUMBERS[name]: tests for name, tests in target.COMPUTING_LOOKED_AT.items()})
    return build(actions, (), target.EPERM, target, target.EPERM)


def install(make, *arguments):
    """Install a program for every thread; return an empty text, or why it could not be done.

    make: makes it; arguments: with what.
    """
    if os.uname().machine not in TARGETS:
        return "no filter is written for " + os.uname().machine
    code = make(*arguments)
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return "no_new_privs: " + os.strerror(ctypes.get_errno())
    libc.syscall.restype = ctypes.c_long
    if libc.syscall(_SYS_SECCOMP, _SECCOMP_SET_MODE_FILTER, _FILTER_FLAG_TSYNC, ctypes.byref(program)) != 0:
        return "seccomp: " + os.strerror(ctypes.get_errno())
    return ""


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
