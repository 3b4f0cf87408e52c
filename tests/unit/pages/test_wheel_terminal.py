"""The account on a terminal: one screen, the verdict first, and what to do last."""

import msgspec
import pytest
from factories import (
    LIBRARY,
    ended,
    judge_smoke,
    make_code,
    make_elf,
    make_facts,
    make_kernel,
    make_stored_report,
    make_wheel,
    smoke_events,
)

from truewheel.checks.finding import Finding
from truewheel.checks.run import CODES, run_checks
from truewheel.child.system_info import SystemInfo
from truewheel.pages import terminal
from truewheel.pages.document import Document
from truewheel.pages.wheel import describe_wheel, summarize_wheels
from truewheel.pages.wheel_words import cpu_words
from truewheel.report import make_report, report_of_malformed
from truewheel.targets.manylinux import read_glibc
from truewheel.text import clean, cut, first_sentence, join_words, size_words, time_words

TAG = "toy_engine-1.2.3-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"


def to_lines(report, *, verbose=False):
    return terminal.to_lines(describe_wheel(report, "verbose" if verbose else "brief"))


def to_table_lines(reports):
    return terminal.to_lines(Document("", (summarize_wheels(reports),)))


def finding(severity="error", code="LINK-MISSING", **changes):
    words = {
        "where": LIBRARY,
        "message": "needs libgomp.so.1, which nobody provides",
        "hint": "graft it",
        **changes,
    }
    return Finding(code=code, severity=severity, **words)


def foreign(*kernels, findings=(), filename=TAG, **changes):
    """Return the report of somebody else's wheel with these functions."""
    code = {LIBRARY: make_code(kernels=kernels)}
    facts = make_facts(plan=None, **{"wheel": make_wheel(filename), "code": code, **changes})
    return make_stored_report(findings, facts)


def row(report, label, **how):
    """Return what stands behind a label, in one line."""
    lines = to_lines(report, **how)
    start = next(number for number, line in enumerate(lines) if line.startswith(f"  {label}  "))
    words = [lines[start].removeprefix(f"  {label}").strip()]
    for line in lines[start + 1 :]:
        if not line.startswith(" " * 10):
            break
        words.append(line.strip())
    return " ".join(words)


def test_the_verdict_and_its_reason_come_first():
    findings = [finding(where=f"{number}.so") for number in range(2)]
    findings += [finding(code="SIZE-LIMIT"), finding("warning", "HARD-CET"), finding("info", "ISA-TZCNT")]
    lines = to_lines(make_stored_report(findings))
    assert lines[0].startswith("refused: toy_engine-1.2.3")
    assert lines[1] == "  because of LINK-MISSING (2 times) and SIZE-LIMIT; 1 warning besides"


def test_a_sound_wheel_needs_nothing_done():
    lines = to_lines(make_stored_report())
    assert lines[0].startswith("passed: ")
    assert lines[1] == "  no error, no warning"
    assert lines[-1] == "what to do: nothing"
    assert to_lines(make_stored_report([finding("warning")]))[-1].startswith("what to do: nothing; the warnings")


def test_a_malformed_file_must_not_be_installed(tmp_path):
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    path.write_bytes(b"no archive")
    report = report_of_malformed(path, (finding(code="ARCHIVE-UNREADABLE", where=path.name, hint="get it again"),))
    lines = to_lines(report)
    assert lines[:2] == [f"malformed: {path.name}", "  because of ARCHIVE-UNREADABLE. Do not install it"]
    assert "  size         10 bytes" in lines
    assert "  ARCHIVE-UNREADABLE: get it again" in lines
    assert not any(line.startswith("  it ") for line in lines)


def test_a_wheel_of_our_own_tells_compiler_digest_and_smoke_test():
    report = make_stored_report()
    assert row(report, "built") == f"x86-64-v3, made for haswell, gcc 13.2.0, digest {report.digest[:12]}"
    assert row(report, "smoke") == "on tiny: passed"
    assert row(report, "it claims") == "x86-64-v3, profile native, says the plan"
    assert "If you did not make it" not in "\n".join(to_lines(make_stored_report([finding()])))


def test_a_failed_smoke_test_is_told_with_its_ending():
    facts = make_facts(smoke=judge_smoke("tiny", smoke_events(until=3), ended(-11, "")))
    lines = to_lines(make_report(facts, run_checks(facts), {}))
    assert "  smoke        on tiny: at tokenize: segmentation fault" in lines


def test_plain_code_runs_everywhere():
    report = foreign()
    assert row(report, "it claims").startswith("every x86-64 CPU (manylinux2014_x86_64, manylinux_2_17_x86_64), says")
    assert row(report, "it needs") == "x86-64, and nothing that only newer CPUs have"
    assert row(report, "it runs on") == "every x86-64 CPU"


def test_needs_are_told_by_level_and_by_cpu():
    report = foreign(make_kernel("a", "sse4_2", "popcnt"), make_kernel("b", "avx2", "avx", "fma"))
    assert row(report, "it needs").startswith("x86-64-v3: avx, avx2, fma, popcnt, sse4_2. That is more than it claims")
    assert row(report, "it runs on").startswith("Intel Haswell (2013)")


def test_needs_beyond_all_levels_stand_apart():
    report = foreign(make_kernel("a", "avx2", "aes"))
    assert row(report, "it needs").startswith("x86-64-v3: avx2; besides aes. ")


def test_needs_that_no_cpu_has_together_are_not_taken_for_a_cpu():
    report = foreign(make_kernel("a", "fma4"), make_kernel("b", "avx512f"))
    assert row(report, "it runs on").startswith("no CPU known here: none has all of that.")


def test_claimed_needs_are_not_called_more_than_claimed():
    assert row(make_stored_report(), "it needs") == "x86-64-v3: avx, avx2, fma"


def test_what_is_chosen_at_run_time_is_told_with_its_rule():
    code = {LIBRARY: make_code(kernels=(make_kernel("dot", "avx2", standing="guarded"),) * 3, asks=("probe",))}
    report = foreign(code=code)
    assert row(report, "it chooses") == (
        "3 functions at run time, by what the CPU has: 3 for x86-64-v3 (rule 'cpuid-guarded')"
    )
    assert "Chosen at run time" not in to_lines(report)
    assert "Chosen at run time" in to_lines(report, verbose=True)


def test_what_is_not_proven_is_said_and_what_to_do_about_it():
    findings = [finding("warning", "ISA-UNDECIDED", hint="try it under emulation")]
    report = foreign(make_kernel("dot", "avx2", standing="unreached"), findings=findings)
    assert report.passed
    words = "every x86-64 CPU. Not proven: nothing shows when its code for avx2 runs"
    assert row(report, "it runs on") == words
    assert "  ISA-UNDECIDED: try it under emulation" in to_lines(report)
    assert "x86-64 or more" in to_table_lines([report])[1]


def test_code_that_could_not_be_read_makes_the_cpus_unproven():
    assert "could not be read" in cpu_words(foreign(findings=[finding(code="ISA-DAMAGED")]))


def test_a_wheel_without_machine_code_runs_anywhere():
    members = {path: member for path, member in make_wheel().entries.items() if not path.endswith(".so")}
    wheel = msgspec.structs.replace(make_wheel("toy_engine-1.2.3-py3-none-any.whl"), entries=members)
    report = foreign(wheel=wheel, libraries={}, code={})
    assert row(report, "it needs") == "nothing: it holds no compiled code"
    assert row(report, "it runs on") == "any CPU: it holds no compiled code"
    assert row(report, "platform") == "any, says the file name"


def test_code_for_another_machine_is_not_known():
    report = foreign(libraries={LIBRARY: make_elf(machine="EM_AARCH64")}, code={})
    assert row(report, "it runs on") == "not known"
    assert row(report, "it needs") == "not known: none of its code was read"


@pytest.mark.parametrize(
    ("filename", "symbols", "words"),
    [
        (TAG, "manylinux_2_17_x86_64", "manylinux with glibc 2.17 or newer, says the file name; its symbols agree"),
        (
            TAG,
            "manylinux_2_34_x86_64",
            "manylinux with glibc 2.17 or newer, says the file name; its symbols ask for glibc 2.34",
        ),
        (
            TAG,
            "manylinux_2_5_x86_64",
            "manylinux with glibc 2.17 or newer, says the file name; its symbols would allow glibc 2.5",
        ),
        (
            "toy_engine-1.2.3-py3-none-linux_x86_64.whl",
            "manylinux_2_17_x86_64",
            "linux_x86_64, says the file name; its symbols allow manylinux_2_17_x86_64",
        ),
    ],
)
def test_the_platform_is_compared_with_the_symbols(filename, symbols, words):
    assert row(foreign(filename=filename, policy={"sym_tag": symbols}), "platform") == words


def test_missing_libraries_are_told_with_the_platform():
    report = foreign(findings=[finding()], policy={"sym_tag": "manylinux_2_34_x86_64"})
    assert row(report, "platform").endswith("together with the missing libraries as this machine has them")


def test_what_a_library_says_of_itself_is_shown():
    told = (SystemInfo(library=LIBRARY, text="CPU : AVX2 = 1"), SystemInfo(library="a/b.so", failure="it died"))
    lines = to_lines(foreign(told=told))
    assert "  it says      libtoy-cpu.so: CPU : AVX2 = 1" in lines
    assert "  it says      b.so: it could not be asked: it died" in lines


def test_an_error_is_explained_and_shows_three_places():
    lines = to_lines(make_stored_report([finding(where=f"lib{number}.so") for number in range(9)]))
    text = "\n".join(lines)
    assert lines.count("  LINK-MISSING: graft it") == 1
    assert CODES["LINK-MISSING"].split(".")[0] in " ".join(text.split())
    assert text.count("    - lib") == 3
    assert "    - … and 6 more" in lines


def test_all_places_are_shown_where_one_line_is_all_that_is_saved():
    text = "\n".join(to_lines(make_stored_report([finding(where=f"lib{number}.so") for number in range(4)])))
    assert text.count("    - lib") == 4
    assert "more" not in text.partition("What to do")[0]


def test_a_warning_takes_one_line_and_information_is_only_counted():
    findings = [finding("warning", "SIZE-DEBUG", where=f"lib{number}.so", message="9 KiB") for number in range(7)]
    findings += [finding("info", "ISA-TZCNT", where=f"lib{number}.so") for number in range(5)]
    lines = to_lines(make_stored_report(findings))
    assert [line for line in lines if "SIZE-DEBUG" in line] == ["  SIZE-DEBUG (7): lib0.so: 9 KiB"]
    assert "for information (`truewheel check --verbose`): ISA-TZCNT (5)" in lines


def test_a_warning_of_the_whole_wheel_says_what_it_means():
    report = make_stored_report()
    report = make_stored_report([finding("warning", "HARD-CET", where=report.wheel, message="6 of 6 libraries")])
    line = next(line for line in to_lines(report) if "HARD-CET" in line)
    assert line.startswith("  HARD-CET: The code is not marked for shadow stacks: 6 of 6")


def test_verbose_shows_every_place():
    findings = [
        finding(severity, code, where=f"lib{number}.so")
        for severity, code in (("error", "LINK-MISSING"), ("warning", "SIZE-DEBUG"), ("info", "ISA-TZCNT"))
        for number in range(9)
    ]
    report = make_stored_report(findings)
    lines = to_lines(report, verbose=True)
    assert sum(line.startswith("    - lib") for line in lines) == 27
    assert f"  sha256       {report.sha256}" in lines
    assert not any("--verbose" in line for line in lines)


def test_the_same_advice_is_given_once():
    findings = [finding(code="ARCHIVE-NAME", hint="get it again"), finding(code="ARCHIVE-KIND", hint="get it again")]
    lines = to_lines(make_stored_report(findings))
    assert [line for line in lines if "get it again" in line] == ["  ARCHIVE-NAME, ARCHIVE-KIND: get it again"]
    assert "  `truewheel explain ARCHIVE-NAME` tells more, `truewheel check --verbose` shows all." in lines


def test_an_error_without_advice_still_ends_with_what_to_do():
    lines = to_lines(foreign(findings=[finding(hint="")]))
    assert lines[-3] == "What to do"
    assert lines[-2].startswith("  If you did not make it")


def test_a_usual_wheel_fits_on_a_screen():
    findings = [finding(code="HARD-PATH", message="holds " + "/home/somebody/long/path.c, " * 40), finding()]
    findings += [
        finding("warning", code, message="5 of 6 libraries, e.g. " + LIBRARY * 3)
        for code in ("HARD-CET", "HARD-FORTIFY", "HARD-CANARY", "HARD-BIND-NOW", "SIZE-DEBUG")
    ]
    findings += [finding("info", "ISA-TZCNT"), finding("info", "ISA-ALLOWED")]
    kernels = (make_kernel("a", "avx2", "fma"), make_kernel("b", "avx512f", standing="guarded"))
    lines = to_lines(foreign(*kernels, findings=findings, policy={"sym_tag": "manylinux_2_34_x86_64"}))
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100


def test_hostile_texts_steer_no_terminal():
    hostile = "\x1b[2J\x07\r\u202egnp.exe\x9b31m\u2028"
    findings = [
        finding(severity, where=f"a/{hostile}.so", message=hostile, hint=hostile)
        for severity in ("error", "warning", "info")
    ]
    told = (SystemInfo(library=hostile, text=hostile),)
    report = msgspec.structs.replace(foreign(findings=findings, told=told), wheel=f"{hostile}.whl")
    for lines in (to_lines(report), to_lines(report, verbose=True), to_table_lines([report])):
        assert all(line.isprintable() for line in lines)


def test_a_table_has_a_row_for_each_wheel():
    sound = make_stored_report()
    broken = foreign(make_kernel("a", "avx2", "aes", "vaes"), findings=[finding(), finding(code="SIZE-LIMIT")])
    lines = to_table_lines([sound, broken])
    assert lines[0].split() == ["verdict", "MiB", "needs", "errors", "wheel"]
    assert lines[1].split() == ["passed", "0.00", "x86-64-v3", "-", sound.wheel]
    assert lines[2].split("  ")[0] == "refused"
    assert "x86-64-v3 +2" in lines[2]
    assert "LINK-MISSING, SIZE-LIMIT" in lines[2]
    assert to_table_lines([])[0].startswith("verdict")


def test_shared_words():
    assert [size_words(size) for size in (0, 1023, 2048, 3 << 20)] == ["0 bytes", "1023 bytes", "2 KiB", "3.00 MiB"]
    assert [time_words(seconds) for seconds in (0, 89.4, 90, 3570, 4800)] == [
        "0 s",
        "89 s",
        "2 min",
        "1 h 0 min",
        "1 h 20 min",
    ]
    assert join_words(["a", "b", "c"], 2) == "a, b, c"
    assert join_words(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert [read_glibc(tag) for tag in ("manylinux1_x86_64", "manylinux_2_28_i686", "any")] == [(2, 5), (2, 28), None]
    assert first_sentence("One thing: another. A third.") == "One thing"
    assert first_sentence("One e.g thing") == "One e.g thing"
    assert clean("two\nlines") == "two lines"
    assert cut("a" * 50 + "b" * 50, 11) == "aaaaa…bbbbb"
