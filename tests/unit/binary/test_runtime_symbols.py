from __future__ import annotations

import itertools

import pytest

from truewheel.binary.runtime_symbols import _policies, _table, allowed_versions, first_version, is_allowed


@pytest.mark.parametrize(
    ("symbol", "version"),
    [
        ("memcpy", "GLIBC_2.2.5"),
        ("strlen", "GLIBC_2.2.5"),
        ("stdout", "GLIBC_2.2.5"),
        ("exp", "GLIBC_2.2.5"),
        ("clock_gettime", "GLIBC_2.2.5"),
        ("pthread_create", "GLIBC_2.2.5"),
        ("__libc_start_main", "GLIBC_2.2.5"),
        ("getaddrinfo_a", "GLIBC_2.2.5"),
        ("__tls_get_addr", "GLIBC_2.3"),
        ("_ZGVdN8v_expf", "GLIBC_2.22"),
        ("getrandom", "GLIBC_2.25"),
        ("stat", "GLIBC_2.33"),
        ("_dl_find_object", "GLIBC_2.35"),
        ("__isoc23_strtol", "GLIBC_2.38"),
        ("_ZSt28__throw_bad_array_new_lengthv", "GLIBCXX_3.4.29"),
        ("__cxa_thread_atexit", "CXXABI_1.3.7"),
        ("__cxa_call_terminate", "CXXABI_1.3.15"),
        ("_ZTIg", "CXXABI_FLOAT128"),
        ("_Unwind_Resume", "GCC_3.0"),
        ("__truncsfbf2", "GCC_13.0.0"),
    ],
)
def test_a_symbol_is_known_by_its_oldest_version(symbol, version):
    assert first_version(symbol) == version


@pytest.mark.parametrize("symbol", ["", "llama_decode", "GLIBC_2.2.5:", "GLIBC_2.2.5", "_ZSt4cout"])
def test_a_symbol_outside_the_table_has_no_version(symbol):
    assert not first_version(symbol)


def test_every_symbol_has_a_version_of_a_known_family():
    table = _table()
    assert len(table) > 7000
    assert {version.partition("_")[0] for version in table.values()} == set(allowed_versions((2, 34)))
    assert not [symbol for symbol in table if " " in symbol or not symbol.isascii()]


@pytest.mark.parametrize(
    ("glibc", "glibcxx", "cxxabi", "gcc"),
    [
        ((2, 5), (3, 4, 8), (1, 3, 1), (4, 2, 0)),
        ((2, 17), (3, 4, 19), (1, 3, 7), (4, 8, 0)),
        ((2, 28), (3, 4, 24), (1, 3, 11), (7, 0, 0)),
        ((2, 34), (3, 4, 29), (1, 3, 13), (7, 0, 0)),
        ((2, 39), (3, 4, 33), (1, 3, 15), (14, 0, 0)),
        ((2, 33), (3, 4, 28), (1, 3, 12), (7, 0, 0)),
        ((2, 99), (3, 4, 33), (1, 3, 15), (14, 0, 0)),
        ((2, 4), (), (), ()),
    ],
)
def test_a_glibc_floor_brings_the_versions_of_the_policy_at_or_below_it(glibc, glibcxx, cxxabi, gcc):
    assert allowed_versions(glibc) == {"GLIBC": glibc, "GLIBCXX": glibcxx, "CXXABI": cxxabi, "GCC": gcc}


def test_a_newer_policy_never_allows_less():
    policies = _policies()
    for older, newer in itertools.pairwise(policies):
        assert older.glibc < newer.glibc
        assert older.glibcxx <= newer.glibcxx
        assert older.cxxabi <= newer.cxxabi
        assert older.gcc <= newer.gcc
        assert set(older.named) <= set(newer.named)


@pytest.mark.parametrize(
    ("version", "glibc", "allowed"),
    [
        ("GLIBC_2.34", (2, 34), True),
        ("GLIBC_2.3.4", (2, 34), True),
        ("GLIBC_2.38", (2, 34), False),
        ("GLIBC_2.38", (2, 38), True),
        ("CXXABI_1.3.15", (2, 34), False),
        ("CXXABI_1.3.15", (2, 39), True),
        ("CXXABI_TM_1", (2, 17), True),
        ("CXXABI_FLOAT128", (2, 17), False),
        ("CXXABI_FLOAT128", (2, 34), True),
        ("CXXABI_FLOAT128", (2, 4), False),
        ("GCC_3.0", (2, 17), True),
        ("OPENSSL_3.0.0", (2, 34), False),
        ("nonsense", (2, 34), False),
    ],
)
def test_a_version_is_allowed_up_to_the_floor_of_its_family(version, glibc, allowed):
    assert is_allowed(version, glibc) is allowed


def test_every_cpp_symbol_of_the_table_is_newer_than_the_oldest_policy():
    for symbol, version in _table().items():
        if version.startswith(("GLIBCXX_", "CXXABI_")):
            assert not is_allowed(version, (2, 5)), symbol
