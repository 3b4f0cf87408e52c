from __future__ import annotations

import itertools
import re

import pytest

from truewheel.cpu.features import feature_table
from truewheel.cpu.levels import level_features
from truewheel.cpu.models import cpu_models, lacking, name_family, oldest_with, runs_on_words


def names(models):
    return [model.name for model in models]


def test_each_line_is_in_order_of_age_and_each_name_stands_once():
    models = cpu_models()
    assert len({model.name for model in models}) == len(models)
    for (line, vendor), family in itertools.groupby(models, key=lambda model: (model.line, model.vendor)):
        years = [model.year for model in family]
        assert years == sorted(years), (line, vendor)
    opened = [line for line, _ in itertools.groupby(models, key=lambda model: model.line)]
    assert opened == ["core", "server", "atom", "amd", "amd-small"]


def test_every_feature_of_the_table_has_a_cpu_and_every_cpu_the_baseline():
    assert not [name for name in feature_table() if not oldest_with([name])]
    assert all({"mmx", "sse", "sse2"} <= model.features for model in cpu_models())


@pytest.mark.parametrize(
    ("name", "has", "has_not"),
    [
        ("K8", {"sse2"}, {"sse3", "cx16"}),
        ("K10", {"sse3", "sse4a", "popcnt", "abm"}, {"ssse3"}),
        ("Merom", {"ssse3", "cx16", "lahf_lm"}, {"sse4_1"}),
        ("Penryn", {"sse4_1"}, {"sse4_2", "popcnt"}),
        ("Jaguar", {"avx", "f16c", "bmi1", "movbe"}, {"avx2", "fma", "bmi2"}),
        ("Ivy Bridge", {"avx", "f16c"}, {"avx2", "fma"}),
        ("Tremont", {"sha_ni", "gfni"}, {"avx", "abm"}),
        ("Gracemont", {"avx2", "fma", "avx_vnni"}, {"avx512f"}),
        ("Zen", {"avx2", "sha_ni", "adx"}, {"vaes", "fma4"}),
        ("Cooper Lake", {"avx512_bf16", "avx512_vnni"}, {"avx512vbmi"}),
        ("Rocket Lake", {"avx512_vnni", "avx512vbmi"}, {"avx_vnni", "avx512_vp2intersect"}),
        ("Alder Lake", {"avx_vnni", "vaes"}, {"avx512f"}),
        ("Sapphire Rapids", {"amx_int8", "amx_bf16", "avx512_fp16", "avx_vnni"}, {"amx_fp16"}),
        ("Granite Rapids", {"amx_fp16"}, {"avx_vnni_int8"}),
        ("Sierra Forest", {"avx_vnni_int8", "avx_ifma", "avx_ne_convert"}, {"avx512f", "avx_vnni_int16"}),
    ],
)
def test_a_family_has_what_its_maker_gave_it(name, has, has_not):
    features = next(model.features for model in cpu_models() if model.name == name)
    assert has <= features
    assert not has_not & features


@pytest.mark.parametrize(
    ("features", "oldest", "without"),
    [
        (level_features("x86-64-v2"), ["Nehalem", "Silvermont", "Bulldozer", "Jaguar"], []),
        (level_features("x86-64-v3"), ["Haswell", "Gracemont", "Excavator"], []),
        (
            level_features("x86-64-v4"),
            ["Skylake-X", "Ice Lake", "Zen 4"],
            ["Comet Lake", "Tremont", "Alder Lake", "Gracemont", "Arrow Lake-S", "Sierra Forest"],
        ),
        ({"avx2", "fma", "bmi2"}, ["Haswell", "Gracemont", "Excavator"], []),
        ({"avx2", "sha_ni"}, ["Ice Lake", "Ice Lake-SP", "Gracemont", "Zen"], ["Comet Lake"]),
        ({"amx_tile"}, ["Sapphire Rapids"], ["Arrow Lake-S", "Sierra Forest"]),
        ({"avx_vnni"}, ["Alder Lake", "Gracemont", "Sapphire Rapids", "Zen 5"], []),
        ({"fma4"}, ["Bulldozer"], ["Bobcat", "Jaguar", "Zen", "Zen 2", "Zen 3", "Zen 4", "Zen 5"]),
        ({"not_a_feature"}, [], []),
    ],
)
def test_each_line_starts_at_its_oldest_family_and_later_ones_may_lack_the_features_again(features, oldest, without):
    assert names(oldest_with(features)) == oldest
    assert names(lacking(features)) == without


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (level_features("x86-64"), "every x86-64 CPU"),
        (["sse2"], "every x86-64 CPU"),
        (["avx2"], "Intel Haswell (2013), Intel Atom Gracemont (2021), AMD Excavator (2015) or newer"),
        (
            ["amx_tile"],
            "Intel Sapphire Rapids (2023) or newer, but not Intel Arrow Lake-S (2024), Intel Sierra Forest (2024)",
        ),
        (["not_a_feature"], "no CPU that is known here"),
        (["fma4", "amx_tile"], "no CPU that is known here"),
    ],
)
def test_words_name_the_oldest_cpus(features, words):
    assert runs_on_words(features) == words


def test_features_may_be_given_once_through():
    assert runs_on_words(iter(["amx_tile"])) == runs_on_words({"amx_tile"})


def test_brands_without_vector_features_are_noted():
    notes = {model.name: model.note for model in cpu_models()}
    for name in ("Sandy Bridge", "Ivy Bridge", "Haswell", "Broadwell", "Skylake", "Comet Lake"):
        assert "Pentium and Celeron parts have no AVX" in notes[name]


def known(name):
    """Return what a family has of the table's features."""
    return next(model.features for model in cpu_models() if model.name == name) & feature_table().keys()


@pytest.mark.parametrize(
    ("model", "vendor", "family"),
    [
        ("Zen 4", "AuthenticAMD", "zen4"),
        ("Zen 3", "AuthenticAMD", "zen3"),
        ("Haswell", "GenuineIntel", "haswell"),
        ("Sapphire Rapids", "GenuineIntel", "sapphirerapids"),
        ("Skylake-X", "GenuineIntel", "skylake_x"),
        ("Zen 4", "GenuineIntel", ""),
        ("Haswell", "CentaurHauls", ""),
        ("Haswell", "", ""),
    ],
)
def test_a_family_is_named_by_what_the_code_needs(model, vendor, family):
    assert name_family(known(model), vendor) == family


@pytest.mark.parametrize("model", cpu_models(), ids=lambda model: model.name)
def test_the_family_that_is_named_runs_the_code(model):
    vendor = {"Intel": "GenuineIntel", "AMD": "AuthenticAMD"}[model.vendor]
    name = name_family(known(model.name), vendor)
    named = next(each for each in cpu_models() if re.sub(r"[^a-z0-9]", "", each.name.lower()) == name.replace("_", ""))
    assert known(model.name) <= named.features
    assert (named.vendor, named.year <= model.year) == (model.vendor, True)


def test_code_that_leaves_features_out_is_named_by_the_family_that_has_those_it_needs():
    assert name_family(known("Zen 4") & known("Zen 3"), "AuthenticAMD") == "zen3"
