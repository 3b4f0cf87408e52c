"""What a wheel claims of the CPU, what its code needs, and by which rule code is let through."""

import functools
import random
import re

import msgspec
import pytest
from code_builder import RET, build_library, function, variable
from factories import (
    BACKENDS,
    DIST_INFO,
    LIBRARY,
    LOADER,
    make_backend_plan,
    make_code,
    make_dispatch_plan,
    make_elf,
    make_entry,
    make_facts,
    make_kernel,
    make_plan_of,
    make_portable,
    make_recipe,
    make_shipped_plan,
    make_wheel,
    wheel_members,
)
from hypothesis import Phase, find, settings
from hypothesis import strategies as st
from planted_isa import ASKS, PLANTED_ISA, claiming, embedded, of_code

from truewheel.binary.code import Example
from truewheel.binary.decode import UNNAMED, load_needs
from truewheel.checks import isa
from truewheel.cpu.levels import level_features
from truewheel.examine.child import read_library
from truewheel.examine.isa_account import account_of, declared_backends, place, read_claims
from truewheel.examine.isa_rules import (
    DISPATCH_RULE,
    GUARD_RULE,
    RULE_TEXTS,
    SUFFIX_RULE,
    find_rule,
    isa_rules,
    needles,
    rule_text,
    says_so,
)
from truewheel.wheel.archive import Member

RULES = {rule.name: rule for rule in isa_rules()}
V3_LABEL = "toy_engine-1.2.3-py3-none-linux_x86_64-x86_64_v3.whl"
OTHER = "toy_engine/lib/libother.so"


def codes(facts):
    return [finding.code for finding in isa.check(facts)]


def messages(facts, code):
    return [finding.message for finding in isa.check(facts) if finding.code == code]


def claims(facts):
    return {claim.source: claim for claim in read_claims(facts)}


@pytest.mark.parametrize("code", isa.CODES)
def test_what_is_planted_is_found(code):
    found = codes(PLANTED_ISA[code]())
    assert code in found
    assert set(found) <= {code, "ISA-BEYOND"}


def test_every_code_is_planted_and_nothing_else():
    assert PLANTED_ISA.keys() == isa.CODES.keys()


def test_a_wheel_that_keeps_its_word_gives_no_finding():
    assert codes(make_facts()) == []
    assert codes(of_code(kernels=())) == []


# Claims


def test_the_plan_claims_its_level_and_its_features():
    plan = make_plan_of()
    claim = claims(make_facts(plan))["the plan"]
    assert claim.text == f"{plan.code.level}, profile {plan.subject.profile}"
    assert set(claim.features) == {*plan.code.features, *level_features(plan.code.level)}


def test_what_the_plan_asked_for_is_no_news():
    plan = make_plan_of()
    kernels = tuple(make_kernel(f"toy_{feature}", feature) for feature in plan.code.features)
    facts = make_facts(plan, code={LIBRARY: make_code(kernels=kernels)})
    assert codes(facts) == []


def test_the_embedded_text_claims_its_level_and_its_features():
    facts = claiming(text=embedded("x86-64-v2", ("avx", "aes")), kernels=[make_kernel("toy", "avx", "aes", "ssse3")])
    claim = claims(facts)["truewheel.json"]
    assert set(claim.features) == {"avx", "aes", *level_features("x86-64-v2")}
    assert codes(facts) == []
    beyond = claiming(text=embedded("x86-64-v2", ("avx",)), kernels=[make_kernel("toy", "avx", "aes", "ssse3")])
    assert codes(beyond) == ["ISA-BEYOND"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'"x86-64-v4"',
        b'{"plan": null}',
        b'{"plan": {"level": "x86-64-v4"}}',
        b'{"plan": {"level": "x86-64-v9", "features": [], "profile": "p"}}',
        b'{"plan": {"level": "x86-64-v4", "features": "avx512f", "profile": "p"}}',
        b'{"plan": {"level": 4, "features": [], "profile": "p"}}',
        b'{"plan": ' * 2000,
    ],
)
def test_an_embedded_text_that_cannot_be_read_claims_nothing(text):
    facts = claiming(text={f"{DIST_INFO}/truewheel.json": Member(text)}, kernels=[make_kernel("toy", "avx512f")])
    assert facts.embedded is None
    assert sorted(claims(facts)) == ["the file name"]
    assert codes(facts) == ["ISA-BEYOND"]


@pytest.mark.parametrize("level", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
def test_the_variant_label_claims_a_level(level):
    name = f"toy_engine-1.2.3-py3-none-linux_x86_64-{level.replace('-', '_')}.whl"
    kernels = [make_kernel(f"toy_{feature}", feature) for feature in level_features(level)]
    facts = claiming(name=name, kernels=kernels)
    assert set(claims(facts)["the variant label"].features) == level_features(level)
    assert codes(facts) == []
    assert codes(claiming(name=name, kernels=[make_kernel("toy", "avx512_fp16")])) == ["ISA-BEYOND"]


@pytest.mark.parametrize("label", ["native", "cuda12", "x86_64_v5", "v3"])
def test_a_label_that_names_no_level_claims_nothing_that_can_be_checked(label):
    facts = claiming(name=f"toy_engine-1.2.3-py3-none-linux_x86_64-{label}.whl", kernels=[make_kernel()])
    assert claims(facts)["the variant label"].features is None
    assert "the file name" not in claims(facts)
    assert codes(facts) == ["ISA-BEYOND"]


@pytest.mark.parametrize("tag", ["linux_x86_64", "manylinux_2_17_x86_64.manylinux2014_x86_64", "musllinux_1_2_x86_64"])
def test_a_plain_name_promises_every_cpu(tag):
    facts = claiming(name=f"toy_engine-1.2.3-py3-none-{tag}.whl", kernels=[make_kernel("toy", "sse3")])
    claim = claims(facts)["the file name"]
    assert claim.features == ()
    assert all(part in claim.text for part in tag.split("."))
    assert codes(facts) == ["ISA-BEYOND"]


def test_a_wheel_without_code_claims_nothing():
    facts = make_facts(None, wheel=make_wheel("toy_engine-1.2.3-py3-none-any.whl"), libraries={}, code={})
    assert claims(facts) == {}


def test_code_in_a_wheel_for_any_platform_promises_every_cpu():
    facts = claiming(name="toy_engine-1.2.3-py3-none-any.whl", kernels=[make_kernel()])
    assert "no platform" in claims(facts)["the file name"].text
    assert codes(facts) == ["ISA-BEYOND"]


def test_an_elf_note_is_told_and_allows_nothing():
    facts = claiming(kernels=[make_kernel("toy", "avx2")], note="x86-64-v3")
    claim = claims(facts)[f"the ELF note of {LIBRARY}"]
    assert (claim.text, claim.features) == ("x86-64-v3", None)
    assert codes(facts) == ["ISA-BEYOND", "ISA-NOTE"]


def test_claims_that_agree_are_fine():
    facts = claiming(name=V3_LABEL, text=embedded("x86-64-v3"), kernels=[make_kernel()], note="x86-64-v3")
    assert codes(facts) == []


def test_claims_that_disagree_are_told_with_what_they_say():
    facts = claiming(name=V3_LABEL, text=embedded("x86-64-v4"))
    (message,) = messages(facts, "ISA-CLAIM")
    assert "truewheel.json says x86-64-v4" in message
    assert "the variant label says x86_64_v3" in message


@pytest.mark.parametrize(
    ("note", "kernels", "expected"),
    [
        ("x86-64-v2", ("avx2",), "its code needs avx2 besides"),
        ("x86-64", ("ssse3",), "its code needs ssse3 besides"),
        ("x86-64-v4", ("avx2",), "makes the loader ask for x86-64-v4"),
        ("x86-64-v4", (), "makes the loader ask for x86-64-v4"),
        ("x86-64-v3", ("avx2",), ""),
        ("x86-64-v2", ("popcnt",), ""),
        ("x86-64-v2", (), ""),
        # No level holds it, so no note could ask for it.
        ("x86-64-v3", ("aes",), ""),
    ],
)
def test_an_elf_note_that_does_not_fit(note, kernels, expected):
    facts = claiming(name=V3_LABEL, kernels=[make_kernel("toy", feature) for feature in kernels], note=note)
    found = messages(facts, "ISA-NOTE")
    assert len(found) == bool(expected)
    assert all(expected in message for message in found)


# Needs


@pytest.mark.parametrize(
    ("features", "level", "rest"),
    [
        ((), "x86-64", ()),
        (("sse3",), "x86-64-v2", ()),
        (("cx16", "popcnt", "sse4_2"), "x86-64-v2", ()),
        (("avx",), "x86-64-v3", ()),
        (("abm", "bmi1", "bmi2", "f16c", "fma", "movbe"), "x86-64-v3", ()),
        (("avx512f",), "x86-64-v4", ()),
        (("avx512vl", "sse3"), "x86-64-v4", ()),
        (("aes",), "x86-64", ("aes",)),
        (("avx2", "sha_ni", "aes"), "x86-64-v3", ("aes", "sha_ni")),
        (("amx_tile", "avx512_vnni", "avx512bw"), "x86-64-v4", ("amx_tile", "avx512_vnni")),
        (("somethingnew",), "x86-64", ("somethingnew",)),
    ],
)
def test_features_are_placed_in_the_lowest_level_that_holds_them(features, level, rest):
    assert place(features) == (level, rest)


def test_the_account_puts_the_libraries_together():
    code = {
        LIBRARY: make_code(kernels=(make_kernel("a", "ssse3"), make_kernel("b", "ssse3", "aes"))),
        OTHER: make_code(
            kernels=(make_kernel("c", "avx2"), make_kernel("d", "gfni", standing="unreached")), asks=ASKS, maybe_tzcnt=2
        ),
    }
    elf = make_elf(isa_level="")
    account = account_of(make_facts(None, libraries={LIBRARY: elf, OTHER: elf}, code=code))
    assert (account.level, account.beyond) == ("x86-64-v3", ("aes",))
    assert account.needs == ("ssse3", "avx2", "aes")
    assert (account.claimed, account.undecided) == ((), ("gfni",))
    first, second = account.libraries[LIBRARY], account.libraries[OTHER]
    assert (first.level, first.needs, first.counts) == ("x86-64-v2", ("ssse3", "aes"), {"ssse3": 2, "aes": 1})
    assert (second.level, second.undecided, second.undecided_functions) == ("x86-64-v3", ("gfni",), 1)
    assert (second.functions, second.named, second.maybe_tzcnt) == (100, 100, 2)


def test_a_feature_that_is_needed_anyway_is_not_undecided():
    kernels = (make_kernel("a", "avx2"), make_kernel("b", "avx2", standing="unreached"))
    library = account_of(of_code(kernels=kernels, asks=ASKS)).libraries[LIBRARY]
    assert (library.needs, library.undecided, library.undecided_functions) == (("avx2",), (), 0)


def test_the_finding_shows_an_instruction_of_the_highest_need():
    examples = (
        Example("ssse3", "shuffle", 0x10, "pshufb xmm0,xmm1", "open"),
        Example("avx2", "hidden", 0x20, "vpaddd ymm0,ymm1,ymm2", "guarded"),
        Example("avx2", "toy_dot", 0x30, "vpsubd ymm0,ymm1,ymm2", "open"),
    )
    facts = of_code(kernels=(make_kernel("toy_dot", "avx2", "ssse3"),), examples=examples)
    (message,) = messages(facts, "ISA-BEYOND")
    assert "ssse3 (1 functions), avx2 (1 functions)" in message
    assert message.endswith("e.g. `vpsubd ymm0,ymm1,ymm2` in toy_dot at 0x30")


def test_a_long_list_of_needs_is_cut_and_counted():
    kernels = tuple(make_kernel(f"toy_{feature}", feature) for feature in level_features("x86-64-v4"))
    (message,) = messages(of_code(kernels=kernels), "ISA-BEYOND")
    assert f" and {len(kernels) - 6} more" in message


def test_what_is_claimed_is_not_told():
    facts = claiming(name=V3_LABEL, kernels=[make_kernel("toy", "avx2", "aes")])
    (message,) = messages(facts, "ISA-BEYOND")
    assert "needs aes (1 functions), which" in message


# A flag that was lost


@pytest.mark.parametrize("features", [("sse3",), ("aes",), ("popcnt", "cx16")])
def test_a_library_without_an_instruction_of_its_level_lost_its_flag(features):
    facts = make_facts(code={LIBRARY: make_code(kernels=(make_kernel("toy", *features),))})
    assert "ISA-UNUSED" in codes(facts)


@pytest.mark.parametrize("standing", ["open", "guarded", "unreached"])
@pytest.mark.parametrize("feature", ["avx2", "fma", "bmi2"])
def test_one_instruction_of_the_level_is_enough(feature, standing):
    kernels = (make_kernel("toy", feature, standing=standing),)
    assert "ISA-UNUSED" not in codes(make_facts(code={LIBRARY: make_code(kernels=kernels)}))


def test_only_the_library_that_is_built_for_the_level_counts():
    elf = make_elf(isa_level="x86-64-v3")
    code = {LIBRARY: make_code(), OTHER: make_code(kernels=())}
    assert codes(make_facts(libraries={LIBRARY: elf, OTHER: elf}, code=code)) == []
    code = {LIBRARY: make_code(kernels=()), OTHER: make_code()}
    assert codes(make_facts(libraries={LIBRARY: elf, OTHER: elf}, code=code)) == ["ISA-UNUSED"]


def test_somebody_elses_wheel_was_asked_for_nothing():
    assert "ISA-UNUSED" not in codes(claiming(name=V3_LABEL))


# What could not be read


def test_the_reason_of_damage_is_told():
    assert messages(PLANTED_ISA["ISA-DAMAGED"](), "ISA-DAMAGED") == ["IndexError: list index out of range"]
    assert messages(make_facts(None, code={}), "ISA-DAMAGED") == ["its code could not be disassembled"]


@pytest.mark.parametrize(("kind", "system"), [("pe", "Windows"), ("macho", "macOS")])
def test_files_of_other_systems_are_told(kind, system):
    facts = of_code(kernels=())
    member = msgspec.structs.replace(make_entry(Member(b"")), kind=kind)
    wheel = msgspec.structs.replace(facts.wheel, entries={**facts.wheel.entries, "toy_engine/lib/toy.dll": member})
    (finding,) = isa.check(facts._replace(wheel=wheel))
    assert (finding.code, finding.where) == ("ISA-OTHER", "toy_engine/lib/toy.dll")
    assert system in finding.message


# Rules


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("toy_dot_avx2", ("avx", "avx2", "fma")),
        ("toy_dot.avx2", ("avx2",)),
        ("toy_dot.arch_haswell", ("avx2", "bmi2")),
        ("avx2_dot", ("avx2",)),
        ("toyDotAVX2", ("avx2",)),
        ("_ZN3toy7dotAVX2EPKf", ("avx2",)),
        ("_ZN3toy4avx23dotEPKf", ("avx2",)),
        ("toy_dot_avx512f", ("avx512f", "avx512_vnni", "gfni")),
        ("toy_dot_skylakex.part.0", ("avx512f",)),
        ("toy_dot_sse42", ("sse4_2", "popcnt")),
        ("toy_dot_ssse3", ("ssse3", "sse3")),
        ("toy_hash_shaext", ("sha_ni", "ssse3")),
        ("toy_aesni_encrypt", ("aes", "pclmulqdq")),
        ("toy_clmul", ("pclmulqdq",)),
        ("toy_x86_rdrand", ("rdrand",)),
        ("toy_mulx", ("bmi2", "adx")),
        ("toy_fma4", ("avx", "fma4")),
        ("toy_dot_avx", ("avx",)),
        ("toy_half_f16c", ("avx", "f16c")),
        ("toy_count_popcnt", ("popcnt",)),
    ],
)
def test_a_name_that_says_what_it_needs(name, features):
    assert says_so(name, frozenset(features))
    facts = of_code(kernels=(make_kernel(name, *features),), asks=ASKS)
    (message,) = messages(facts, "ISA-ALLOWED")
    assert f"rule {SUFFIX_RULE!r}: {RULE_TEXTS[SUFFIX_RULE]}" in message
    assert codes(facts) == ["ISA-ALLOWED"]


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("toy_dot", ("avx2",)),
        ("toy_dot_avx", ("avx", "avx2")),
        ("toy_dot_avx2", ("avx512f",)),
        ("toy_dot_sse42", ("avx",)),
        ("toy_dot_ssse3", ("sse4_1",)),
        ("toy_aesni_encrypt", ("vaes",)),
        ("sharpen", ("sha_ni",)),
        ("navx2", ("avx2",)),
        ("frozen_graph", ("avx2",)),
        ("halfmask", ("fma",)),
        ("toy_bmi", ("avx2",)),
        ("toy_popcntless", ("popcnt",)),
        (f".text{UNNAMED}4000", ("avx2",)),
    ],
)
def test_a_name_that_says_too_little(name, features):
    assert not says_so(name, frozenset(features))
    assert codes(of_code(kernels=(make_kernel(name, *features),), asks=ASKS)) == ["ISA-BEYOND"]


def test_a_name_alone_is_not_enough_where_nobody_asks_the_cpu():
    assert codes(of_code(kernels=(make_kernel("toy_dot_avx2", "avx2"),))) == ["ISA-BEYOND"]


def test_a_guarded_function_is_let_through_and_told():
    kernels = (make_kernel("a", "avx2", standing="guarded"), make_kernel("b", "avx512f", standing="guarded"))
    facts = of_code(kernels=kernels, asks=ASKS)
    (message,) = messages(facts, "ISA-ALLOWED")
    assert message == f"2 functions with avx2, avx512f: rule {GUARD_RULE!r}: {RULE_TEXTS[GUARD_RULE]}"
    assert codes(facts) == ["ISA-ALLOWED"]
    allowed = account_of(facts).libraries[LIBRARY].allowed[GUARD_RULE]
    assert (allowed.functions, allowed.features) == (2, ("avx2", "avx512f"))


def test_one_open_function_among_guarded_ones_is_not_let_through():
    kernels = (make_kernel("a", "avx2", standing="guarded"), make_kernel("b", "avx2"))
    assert codes(of_code(kernels=kernels, asks=ASKS)) == ["ISA-BEYOND", "ISA-ALLOWED"]


# Backends, one of which is loaded at run time


def dispatching(plan=None, **kernels):
    """Return facts of a wheel that chooses: each backend with its features, or with the kernels that are given."""
    facts = make_facts(plan or make_dispatch_plan())
    changed = {f"toy_engine/lib/libtoy-cpu-{name}.so": make_code(kernels=found) for name, found in kernels.items()}
    assert changed.keys() <= facts.code.keys()
    return facts._replace(code={**facts.code, **changed})


def unplanned(facts):
    """Return the facts of the same wheel as whoever gets it reads them: what was planned is in it."""
    text = msgspec.json.encode({"schema": 2, "plan": facts.plan.to_wheel()})
    members = wheel_members(**{f"{DIST_INFO}/truewheel.json": Member(text)})
    return facts._replace(plan=None, evidence=None, smoke=None, wheel=make_wheel(members=members))


def as_we_have_it(facts):
    return facts


def refusing(facts):
    """Return the findings but what is told of rules, and of notes, which ask for the level of the wheel alone."""
    return [finding for finding in isa.check(facts) if finding.code not in {"ISA-ALLOWED", "ISA-NOTE"}]


@pytest.mark.parametrize("read", [as_we_have_it, unplanned])
def test_what_a_backend_declares_is_let_through_and_told(read):
    found = list(isa.check(read(dispatching())))
    assert [finding.code for finding in found] == ["ISA-ALLOWED"] * 3
    good = next(finding for finding in found if finding.where == "toy_engine/lib/libtoy-cpu-good.so")
    assert good.message == (
        "9 functions with popcnt, sse3, sse4_1, sse4_2, ssse3, avx, avx2, bmi2, fma: "
        f"rule {DISPATCH_RULE!r}: {RULE_TEXTS[DISPATCH_RULE]}"
    )


@pytest.mark.parametrize("read", [as_we_have_it, unplanned])
def test_what_a_backend_declares_is_no_need_of_the_wheel(read):
    account = account_of(read(dispatching()))
    assert (account.level, account.needs, account.beyond) == ("x86-64", (), ())
    assert set(account.claimed) == level_features("x86-64-v2")
    best = account.libraries["toy_engine/lib/libtoy-cpu-best.so"].allowed[DISPATCH_RULE]
    assert "avx512_vnni" in best.features


@pytest.mark.parametrize("standing", ["open", "unreached"])
@pytest.mark.parametrize("read", [as_we_have_it, unplanned])
@pytest.mark.parametrize(
    ("features", "named"),
    [
        (("avx512f",), "avx512f"),
        (("f16c",), "f16c"),
        (("avx2", "avx512f"), "avx512f"),
        (("avx2", "fma", "bmi2", "gfni"), "gfni"),
    ],
)
def test_what_a_backend_does_not_declare_refuses_the_wheel_and_names_the_library(read, features, named, standing):
    kernels = (make_kernel("toy_fine", "avx2", "bmi2"), make_kernel("toy_dot", *features, standing=standing))
    (finding,) = refusing(read(dispatching(good=kernels)))
    assert finding.code == ("ISA-BEYOND" if standing == "open" else "ISA-UNDECIDED")
    assert finding.where == "toy_engine/lib/libtoy-cpu-good.so"
    assert named in finding.message


@pytest.mark.parametrize("read", [as_we_have_it, unplanned])
def test_a_better_backends_features_are_not_a_lesser_ones(read):
    facts = dispatching(base=(make_kernel("toy_crc", "sse4_2"), make_kernel("toy_dot", "avx2")))
    (finding,) = refusing(read(facts))
    assert finding.where == "toy_engine/lib/libtoy-cpu-base.so"
    assert "needs avx2 (1 functions), which the wheel does not claim" in finding.message


@pytest.mark.parametrize("read", [as_we_have_it, unplanned])
@pytest.mark.parametrize("path", [LOADER, "toy_engine/lib/libtoy-base.so", "toy_engine/lib/libtoy-cpu-other.so"])
def test_a_library_that_is_no_backend_may_use_what_the_wheel_claims_and_no_more(read, path):
    facts = dispatching()
    elf = make_elf(isa_level="x86-64-v2")
    for features, expected in ((("sse4_2", "cx16"), []), (("avx",), ["ISA-BEYOND"])):
        code = {**facts.code, path: make_code(kernels=(make_kernel("toy_load", *features),))}
        with_it = facts._replace(code=code, libraries={**facts.libraries, path: elf})
        assert [(finding.code, finding.where) for finding in refusing(read(with_it))] == [
            (code, path) for code in expected
        ]


def test_the_one_backend_of_a_wheel_is_measured_by_what_the_wheel_claims():
    facts = make_facts(make_backend_plan())
    assert codes(facts) == []
    (path,) = (backend.library for backend in facts.plan.code.backends)
    beyond = make_code(kernels=(make_kernel("toy_dot", "avx2", "avx512f"),))
    facts = facts._replace(code={**facts.code, path: beyond})
    assert codes(facts) == codes(unplanned(facts)) == ["ISA-BEYOND", "ISA-NOTE"]


def test_features_beyond_the_level_are_claimed_where_the_profile_asks_for_them():
    plan = make_backend_plan(profile=make_portable(features=("avx_vnni",)))
    assert codes(make_facts(plan)) == []
    facts = unplanned(make_facts(plan))
    assert codes(facts) == []
    assert "avx_vnni" in claims(facts)["truewheel.json"].features


@pytest.mark.parametrize(
    "backends",
    [
        b'"all"',
        b"{}",
        b"[1]",
        b'[{"name": "good"}]',
        b'[{"name": "good", "library": "toy_engine/lib/libtoy-cpu-good.so", "features": "avx2"}]',
    ],
)
def test_backends_that_cannot_be_read_allow_nothing(backends):
    facts = unplanned(dispatching())
    text = b'{"plan": {"level": "x86-64-v2", "features": [], "profile": "p", "backends": ' + backends + b"}}"
    wheel = make_wheel(members=wheel_members(**{f"{DIST_INFO}/truewheel.json": Member(text)}))
    facts = facts._replace(wheel=wheel)
    assert declared_backends(facts) == {}
    assert {finding.code for finding in refusing(facts)} == {"ISA-BEYOND"}


def test_the_plan_says_what_is_declared_and_not_the_wheel():
    facts = dispatching()
    other = unplanned(dispatching(make_dispatch_plan(recipe=with_variants(("base", ["sse4_2"]), ("good", ["avx2"])))))
    assert declared_backends(facts._replace(wheel=other.wheel)) == declared_backends(facts)


def with_variants(*pairs):
    """Return a recipe whose backends have these names and features."""
    variants = [{"name": name, "features": features} for name, features in pairs]
    return make_recipe(backends={**BACKENDS, "variant": variants}, checks={"isa-units": [], "isa-library": ""})


@pytest.mark.parametrize(
    ("name", "features", "wanted"),
    [
        ("best", ("avx2", "fma", "bmi2", "sse4_2"), "avx512_vnni, avx512f, f16c"),
        ("good", ("avx", "fma"), "avx2, bmi2"),
        ("good", ("sse4_2", "popcnt"), "avx2, bmi2"),
        ("good", (), "avx2, bmi2"),
        ("base", (), "popcnt, sse3, sse4_1, sse4_2, ssse3"),
    ],
)
def test_a_backend_without_an_instruction_of_its_own_lost_its_flag(name, features, wanted):
    plan = make_dispatch_plan(
        recipe=with_variants(
            ("best", ["bmi2", "fma", "avx512_vnni"]),
            ("good", ["avx2", "bmi2", "fma"]),
            ("middle", ["fma"]),
            ("base", ["sse4_2"]),
        )
    )
    kernels = tuple(make_kernel(f"toy_{feature}", feature) for feature in features)
    found = [finding for finding in isa.check(dispatching(plan, **{name: kernels})) if finding.code == "ISA-UNUSED"]
    (finding,) = found
    assert finding.where == f"toy_engine/lib/libtoy-cpu-{name}.so"
    assert finding.message == f"was asked for the backend {name}, and has no instruction of {wanted}"
    assert "the flag was lost" in finding.hint


@pytest.mark.parametrize(
    ("backend", "own"),
    [
        ("sapphirerapids", {"amx_int8"}),
        ("zen4", {"avx512_bf16"}),
        ("icelake", {"avx512vbmi"}),
        ("cascadelake", {"avx512_vnni"}),
        ("skylakex", {"avx512f", "avx512bw", "avx512dq", "avx512vl"}),
        ("alderlake", {"avx_vnni"}),
        ("haswell", {"avx2", "bmi2"}),
        ("piledriver", {"fma"}),
        ("ivybridge", {"f16c"}),
        ("sandybridge", {"avx"}),
        # Nobody is lesser, and compilers find little use for SSE4.2 itself.
        ("sse42", {"popcnt", "sse3", "sse4_1", "sse4_2", "ssse3"}),
    ],
)
def test_one_instruction_of_its_own_is_enough_for_each_shipped_backend(backend, own):
    plan = make_shipped_plan("dispatch")
    facts = make_facts(plan)
    planned = next(planned for planned in plan.code.backends if planned.name == backend)

    def unused(features):
        kernels = tuple(make_kernel(f"toy_{feature}", feature) for feature in features)
        code = {**facts.code, planned.library: make_code(kernels=kernels)}
        return [finding for finding in isa.check(facts._replace(code=code)) if finding.code == "ISA-UNUSED"]

    assert all(not unused([feature]) for feature in own)
    (finding,) = unused(set(planned.features) - own)
    assert finding.where == planned.library


def test_the_least_backend_must_have_some_instruction_beyond_plain_x86_64():
    assert "ISA-UNUSED" not in codes(dispatching(base=(make_kernel("toy_crc", "sse4_2"),)))
    (finding,) = [finding for finding in isa.check(dispatching(base=())) if finding.code == "ISA-UNUSED"]
    assert finding.where == "toy_engine/lib/libtoy-cpu-base.so"


def test_where_backends_differ_by_sums_alone_any_feature_is_enough():
    variants = (("both", ["fma", "f16c"]), ("one", ["fma"]), ("other", ["f16c"]), ("least", ["sse4_2"]))
    plan = make_dispatch_plan(recipe=with_variants(*variants))
    fine = dispatching(plan, both=(make_kernel("toy_dot", "fma"),))
    assert "ISA-UNUSED" not in codes(fine)
    assert "ISA-UNUSED" in codes(dispatching(plan, both=()))


def test_the_one_backend_without_an_instruction_of_its_level_lost_its_flag():
    facts = make_facts(make_backend_plan())
    (path,) = (backend.library for backend in facts.plan.code.backends)
    code = {**facts.code, path: make_code(kernels=(make_kernel("toy", "sse3"),))}
    (finding,) = isa.check(facts._replace(code=code))
    assert (finding.code, finding.where) == ("ISA-UNUSED", path)
    assert finding.message.startswith("was asked for x86-64-v3, and has no instruction of avx, ")


def test_a_backend_that_was_not_read_is_not_called_unused():
    facts = dispatching()
    code = {path: found for path, found in facts.code.items() if "good" not in path}
    assert "ISA-UNUSED" not in codes(facts._replace(code=code))
    assert "ISA-DAMAGED" in codes(facts._replace(code=code))


def test_the_data_file_is_sound():
    known = {*load_needs().feature.values(), "rdrand", "rdseed"}
    assert len(RULES) == len(isa_rules()) > 5
    assert not RULES.keys() & RULE_TEXTS.keys()
    for rule in isa_rules():
        assert len(rule.what) > 20
        assert set(rule.features) <= known
        assert 0 < rule.most <= 1
        # Something must show that it is the library that the rule means.
        assert rule.contains or rule.libraries
        assert all(len(text) >= 6 for text in rule.contains)
        # A rule for most of a library's functions must say which ones.
        assert rule.most <= 0.1 or rule.functions or rule.libraries
        re.compile(rule.functions)
        assert needles()[rule.name] == rule.contains
        assert rule_text(rule.name) == rule.what
    assert rule_text("no such rule") == ""


@functools.cache
def name_like(pattern):
    """Return a name that a pattern is about."""
    names = st.from_regex(pattern, alphabet=st.characters(codec="ascii", categories=["L", "N"], include_characters="_"))
    soon = settings(phases=[Phase.generate], max_examples=500, database=None)
    return find(names, lambda text: len(text) > 3, settings=soon, random=random.Random(0))


def fitting(rule, *, named=True):
    """Return a path, a function and the count of functions by which a rule lets something through."""
    file = rule.libraries[0].replace("*", "x") if rule.libraries else "libtoy.so"
    name = name_like(rule.functions) if named and rule.functions else f".text{UNNAMED}4000"
    kernel = make_kernel(name, *(rule.features[:1] or ("sse4a",)))
    return f"toy_engine/lib/{file}", kernel, -int(-1 // rule.most)


def let_through(rule, path, kernels, functions, marks=None):
    """Return the facts of a library that a rule may be about."""
    return make_facts(
        None,
        libraries={path: make_elf(isa_level="")},
        code={path: make_code(kernels=tuple(kernels), functions=functions)},
        marks={path: (rule.name,) if marks is None else marks},
    )


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_what_a_rule_is_about_is_let_through_and_told_with_its_name(rule):
    path, kernel, functions = fitting(rule)
    facts = let_through(rule, path, [kernel], functions)
    (finding,) = isa.check(facts)
    assert (finding.code, finding.where) == ("ISA-ALLOWED", path)
    assert finding.message == f"1 functions with {kernel.features[0]}: rule {rule.name!r}: {rule.what}"


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_functions_without_a_name_are_let_through_where_the_rule_says_so(rule):
    path, kernel, functions = fitting(rule, named=False)
    allowed = rule.unnamed or not rule.functions
    assert codes(let_through(rule, path, [kernel], functions)) == ["ISA-ALLOWED" if allowed else "ISA-BEYOND"]


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if rule.contains], ids=lambda rule: rule.name)
def test_without_its_texts_no_rule_counts(rule):
    path, kernel, functions = fitting(rule)
    assert codes(let_through(rule, path, [kernel], functions, marks=())) == ["ISA-BEYOND"]


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if rule.most < 1], ids=lambda rule: rule.name)
def test_no_rule_lets_more_than_its_share_through(rule):
    path, kernel, functions = fitting(rule)
    few = let_through(rule, path, [kernel] * 10, 10 * functions)
    many = let_through(rule, path, [kernel] * 10, int(10 / rule.most) - 1)
    assert codes(few) == ["ISA-ALLOWED"]
    assert codes(many) == ["ISA-BEYOND"]
    cut_off = make_code(kernels=(kernel,), more=9, functions=int(10 / rule.most) - 1)
    assert find_rule(path, cut_off, (rule.name,), kernel) == ""


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if rule.features], ids=lambda rule: rule.name)
def test_no_rule_allows_a_feature_that_it_does_not_name(rule):
    path, kernel, functions = fitting(rule)
    more = msgspec.structs.replace(kernel, features=(*kernel.features, "xop"))
    assert codes(let_through(rule, path, [more], functions)) == ["ISA-BEYOND"]


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if not rule.libraries], ids=lambda rule: rule.name)
def test_no_rule_lets_somebody_elses_functions_through(rule):
    path, kernel, functions = fitting(rule)
    other = msgspec.structs.replace(kernel, name="Zz")
    assert codes(let_through(rule, path, [other], functions)) == ["ISA-BEYOND"]


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if rule.libraries], ids=lambda rule: rule.name)
def test_a_rule_about_a_file_is_about_no_other_file(rule):
    _, kernel, functions = fitting(rule)
    assert codes(let_through(rule, "toy_engine/lib/zz", [kernel], functions)) == ["ISA-BEYOND"]


@pytest.mark.parametrize("rule", [rule for rule in RULES.values() if rule.contains], ids=lambda rule: rule.name)
def test_a_rule_is_found_by_its_texts_in_the_library(rule):
    def marks(texts):
        words = [text.encode() + bytes(8 - len(text) % 8) for text in texts]
        library = build_library(function("toy", RET), variables=[variable("texts", *words)])
        return read_library(library.data, needles()).marks

    assert rule.name in marks(rule.contains)
    for missing in rule.contains:
        others = [text for text in rule.contains if text != missing and missing not in text]
        assert rule.name not in marks(["nothing", *others])


def test_a_name_is_looked_at_before_anything_else():
    rule = RULES["openssl"]
    kernel = make_kernel("aesni_encrypt", "aes", standing="guarded")
    asking = make_code(kernels=(kernel,), functions=1000, asks=ASKS)
    assert find_rule("libcrypto.so", asking, (rule.name,), kernel) == SUFFIX_RULE
    assert find_rule("libcrypto.so", make_code(kernels=(kernel,), functions=1000), (rule.name,), kernel) == GUARD_RULE


def test_members_of_the_wheel_do_not_matter_to_the_rules():
    assert codes(make_facts(None, wheel=make_wheel(members=wheel_members()), libraries={}, code={})) == []
