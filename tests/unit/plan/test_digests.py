"""Which input decides the bytes of a wheel, which what is proven of it, and which neither: every field of them all."""

import functools
import typing

import msgspec
import pytest
from factories import (
    BACKENDS,
    CRATE,
    make_backend_plan,
    make_dispatch_plan,
    make_host,
    make_plan_of,
    make_portable,
    make_profile,
    make_recipe,
    make_source,
    make_toolchain,
    make_zig,
)

from truewheel.errors import PlanError
from truewheel.plan import plan as plan_module
from truewheel.plan.make import Changes, planned_source
from truewheel.plan.plan import Plan, Planned, Writer

TAKEN = {
    "source": "recipe",
    "recipe": "toy-engine",
    "take": {BACKENDS["library"]: "toy_rust/libk*.so"},
    "link": ["toy_rust/l.so"],
    "headers": ["include"],
}
FILES = {"patches": ["a.patch"], "add": {"ours": "there"}, "exclude": ["docs/*"]}
TABLES = {"backends": BACKENDS, "source": FILES, "package": {"license-files": ["LICENSE"]}}
COMMIT = {"commit": {"llama.cpp": "0123456789"}}
RUST = {"backend": "maturin", "define": {}, **COMMIT}
DISPATCH = make_portable(label="dispatch", level="x86-64-v2", dispatch=True)

SETTINGS = {
    "native": {"recipe": make_recipe(**TABLES, build=COMMIT), "profile": make_profile()},
    "portable": {"recipe": make_recipe(**TABLES), "profile": make_portable(), "toolchain": make_zig()},
    "dispatch": {"recipe": make_recipe(**TABLES), "profile": DISPATCH, "toolchain": make_zig()},
    "taken": {"recipe": make_recipe(libraries=TAKEN, build=RUST), "profile": make_portable(), "toolchain": make_zig()},
    "bundled": {"recipe": make_recipe(**CRATE), "profile": make_profile()},
}
"""Each value of an input matters in one of these."""

NEITHER = {
    "recipe.schema": "there is one",
    "profile.schema": "there is one",
    "recipe.source.path": "its tree is what counts, by its hash",
    "profile.toolchain": "the compiler that was found is what counts",
    "toolchain.cc": "where it lies does not matter",
    "toolchain.cxx": "likewise",
    "toolchain.ar": "likewise",
    "toolchain.ranlib": "likewise",
    "toolchain.refusal": "a compiler that is refused builds nothing",
    "toolchain.unused": "features that it does not use",
    "host.system": "other platforms are refused",
    "host.machine": "likewise",
    "host.libc": "a floor is asked for, or it is for this machine",
    "host.model": "what the compiler makes of the CPU is what counts",
    "host.features": "likewise",
    "host.physical-cores": "a CPU is not its cores",
    "host.logical-cores": "likewise",
    "host.usable-cores": "likewise",
    "host.memory-bytes": "likewise",
}
PROOF = {
    "recipe.engine.driver",
    "recipe.checks.max-wheel-mib",
    "recipe.checks.isa-units",
    "recipe.checks.isa-library",
    "recipe.checks.in-process",
    "recipe.backends.max-wheel-mib",
    "prover",
    "adapter",
}
OTHERS = {
    "recipe.build.backend": ["maturin", "scikit-build-core"],
    "recipe.build.isa": ["none"],
    "recipe.source.sha256": ["d" * 64],
    "recipe.libraries.take": [{BACKENDS["library"]: "toy_rust/libm*.so"}],
    "profile.level": ["x86-64", "x86-64-v4"],
    "profile.glibc": [None],
    "profile.features": [["avx_vnni"]],
    "profile.rust.lto": ["thin"],
    "profile.rust.allocator": ["mimalloc"],
    "toolchain.native-features": [["avx", "avx2"]],
    "toolchain.isa-note": ["object", "linker"],
    "toolchain.target": ["x86_64-linux-gnu.2.17"],
    "host.vendor": ["AuthenticAMD"],
    "host.level": ["x86-64-v4"],
    "recipe.backends.variant": [[{"name": "base", "features": ["sse4_2", "popcnt"]}], BACKENDS["variant"][1:]],
}
"""Other values of what has few; None leaves it out."""


def inputs(setting):
    """Return every input of a plan in a setting."""
    found = {"toolchain": make_toolchain(), **SETTINGS[setting], "host": make_host(), "source": make_source()}
    return {**found, "tools": {"cmake": "4.0.0", "rustc": "1.95.0"}, "writer": Writer(truewheel="1", code="b" * 64)}


def plan_from(setting, **changes):
    parts = {**inputs(setting), **changes}
    recipe = parts["recipe"]
    if "source" not in changes:
        changed = Changes(
            dict.fromkeys(recipe.source.patches, b""), {str(add): b"" for add in recipe.source.add.items()}
        )
        parts["source"] = planned_source(recipe, changed, "")
    base = make_backend_plan() if setting == "taken" else None
    return make_plan_of(**parts, base=base)


def as_table(value):
    return msgspec.json.decode(msgspec.json.encode(value))


def leaves(kind):
    """Yield the path of every field of a struct, and of the structs in it."""
    for field in msgspec.structs.fields(kind):
        inner = [each for each in typing.get_args(field.type) if isinstance(each, type)] or [field.type]
        structs = [each for each in inner if isinstance(each, type) and issubclass(each, msgspec.Struct)]
        if not structs or typing.get_origin(field.type) is tuple:
            yield field.encode_name
        for struct in structs if typing.get_origin(field.type) is not tuple else ():
            yield from (f"{field.encode_name}.{leaf}" for leaf in leaves(struct))


def every_field():
    """Return the path of each field of each input."""
    found = dict.fromkeys(("prover", "adapter", "tools"))
    for name, value in inputs("native").items():
        if isinstance(value, msgspec.Struct):
            found |= {f"{name}.{leaf}": None for leaf in leaves(type(value))}
    return list(found)


def other_values(value):
    """Return values that differ from one."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1]
    if isinstance(value, str):
        return [f"{value}x", "other_name"]
    if isinstance(value, dict):
        return [{**value, "OTHER": "other"}]
    return [[*(value or []), "other"], [], {"OTHER": "other"}]


def changed_plans(setting, path):
    """Yield the plans of a setting with another value of one input."""
    name, *keys = path.split(".")
    if name in {"prover", "adapter"}:
        yield plan_from(setting, **{name: "c" * 64})
        return
    whole = inputs(setting)[name]
    table = as_table(whole)
    inner = functools.reduce(lambda table, key: table.get(key) if isinstance(table, dict) else None, keys[:-1], table)
    if keys and not isinstance(inner, dict):
        return
    now = inner.get(keys[-1]) if keys else table
    for value in OTHERS.get(path, other_values(now)):
        if value == now or (value is None and keys[-1] not in inner):
            continue
        if value is None:
            del inner[keys[-1]]
        elif keys:
            inner[keys[-1]] = value
        try:
            yield plan_from(setting, **{name: msgspec.convert(table if keys else value, type(whole))})
        except (msgspec.ValidationError, PlanError):
            continue


def effects(path):
    """Return what another value of an input changes in any setting: digests and proofs, and whether it could be had."""
    found = set()
    for setting in SETTINGS:
        before = plan_from(setting)
        for after in changed_plans(setting, path):
            found.add((after.digest != before.digest, after.proof != before.proof))
    return found


def test_the_fields_are_all_there():
    fields = set(every_field())
    assert set(NEITHER) | PROOF | set(OTHERS) <= fields
    assert {"recipe.libraries.take", "recipe.libraries.crate", "profile.rust.lto", "source.added"} <= fields


@pytest.mark.parametrize("path", every_field())
def test_each_input_decides_the_bytes_or_the_proof_or_neither(path):
    found = effects(path)
    if path in NEITHER:
        assert found <= {(False, False)}
    elif path in PROOF:
        assert (False, True) in found
        assert not any(digest for digest, _ in found)
    else:
        assert (True, True) in found
        assert (False, True) not in found


def planned_fields(value, path=()):
    """Yield each part of a plan as path, key and value."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key), inner
        if isinstance(inner, dict | list | tuple):
            yield from planned_fields(inner, (*path, key))


@pytest.mark.parametrize("setting", SETTINGS)
def test_each_value_of_a_plan_is_in_a_digest(setting):
    plan = plan_from(setting)
    for path, value in planned_fields(as_table(plan)):
        if path[-1] == "type" or isinstance(value, dict | list | tuple):
            continue
        table = as_table(plan)
        functools.reduce(lambda inner, key: inner[key], path[:-1], table)[path[-1]] = other_values(value)[0]
        changed = msgspec.convert(table, Plan)
        assert changed.proof != plan.proof
        assert (changed.digest == plan.digest) == (path[0] == "expect"), path


def test_the_settings_have_every_kind_of_part():
    kinds = {each for each in vars(plan_module).values() if isinstance(each, type) and issubclass(each, Planned)}
    seen = set()

    def look(value):
        if isinstance(value, Planned):
            seen.add(type(value))
            for name in value.__struct_fields__:
                look(getattr(value, name))
        elif isinstance(value, tuple):
            for each in value:
                look(each)

    for setting in SETTINGS:
        look(plan_from(setting))
    assert seen == kinds - {Planned}
    assert make_dispatch_plan().digest != make_backend_plan().digest


def test_a_field_that_is_forgotten_is_seen(monkeypatch):
    monkeypatch.setattr(Plan, "digest", property(lambda plan: plan.subject.engine), raising=False)
    assert effects("profile.lto") == {(False, False)}
