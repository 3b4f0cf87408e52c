"""TOML to tables, and what a person reads when it does not go."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truewheel.config.load import available, load_profile, load_recipe
from truewheel.config.tables import PackageSource, PathSource
from truewheel.errors import LoadError

PROFILE = """\
# A comment first.
schema = 1
label = "fast"
level = "x86-64-v3"
toolchain = ["clang", "gcc"]
"""
RECIPE = """\
schema = 1

[engine]
name = "toy-engine"
import-name = "toy_engine"
driver = "llama_cpp"

[source]
type = "package"
name = "toy-engine"
version = "1.2.3"
sha256 = "{sha256}"

[build]
backend = "scikit-build-core"

[build.define]
TOY_EXTRAS = false

[checks]
max-wheel-mib = 4
""".format(sha256="0" * 64)


BACKENDS = """
[backends]
loader = "toy_engine/lib/libtoy.so"
library = "toy_engine/lib/libtoy-cpu*.so"
target = "toy-cpu*"
single = { TOY_SEVERAL = false }
several = { TOY_SEVERAL = true, TOY_NAMES = "{names}" }
max-wheel-mib = 10

[[backends.variant]]
name = "good"
features = ["avx2", "fma"]

[[backends.variant]]
name = "base"
features = ["sse4_2"]
"""


@pytest.fixture
def profile_error(tmp_path):
    """Load a profile's text and return the error and the file."""

    def load(text, name="fast.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        with pytest.raises(LoadError) as caught:
            load_profile(str(path))
        assert caught.value.exit_code == 2
        assert caught.value.message.startswith(str(path))
        return caught.value.message.removeprefix(str(path)), caught.value.hint

    return load


@pytest.fixture
def recipe_error(tmp_path):
    """Load a recipe's text and return the error without the file's name."""

    def load(text):
        path = tmp_path / "recipe.toml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(LoadError) as caught:
            load_recipe(str(path))
        assert caught.value.message.startswith(str(path))
        return caught.value.message.removeprefix(str(path)), caught.value.hint

    return load


@pytest.mark.parametrize("name", available("recipes"))
def test_every_recipe_of_the_repository_loads(name):
    loaded = load_recipe(name)
    assert loaded.recipe.engine.name == name
    for patch in loaded.recipe.source.patches:
        assert (loaded.folder / patch).is_file()


@pytest.mark.parametrize("name", available("profiles"))
def test_every_profile_of_the_repository_loads(name):
    assert load_profile(name).label == name


def test_there_is_something_to_build():
    assert "llama-cpp-python" in available("recipes")
    assert {"native", "dispatch", "x86_64_v2", "x86_64_v3", "x86_64_v4"} <= set(available("profiles"))


def test_a_profile_has_its_values_and_defaults(tmp_path):
    path = tmp_path / "fast.toml"
    path.write_text(PROFILE + 'openmp = true\nflags = ["-O3"]\n[define]\nTOY = true\nCOUNT = 3\nNAME = "x"\n')
    profile = load_profile(str(path))
    assert (profile.level, profile.toolchain, profile.openmp, profile.lto) == (
        "x86-64-v3",
        ("clang", "gcc"),
        True,
        False,
    )
    assert profile.define == {"TOY": True, "COUNT": 3, "NAME": "x"}


@pytest.mark.parametrize("wish", ["zig", "clang>=19", "gcc>=14.2", "clang>=19.1.7"])
def test_a_compiler_may_have_an_oldest_version(tmp_path, wish):
    path = tmp_path / "fast.toml"
    path.write_text(PROFILE.replace('["clang", "gcc"]', f'["{wish}", "gcc"]'))
    assert load_profile(str(path)).toolchain == (wish, "gcc")


@pytest.mark.parametrize("wish", ["icc", "clang>19", "clang >= 19", "clang>=new", "gcc==13", "", "zig>=1.2.3.4"])
def test_another_compiler_is_refused(tmp_path, wish):
    path = tmp_path / "fast.toml"
    path.write_text(PROFILE.replace('["clang", "gcc"]', f'["{wish}", "gcc"]'))
    with pytest.raises(LoadError, match="toolchain"):
        load_profile(str(path))


def test_a_profile_is_for_this_machine_unless_it_says_otherwise(tmp_path):
    path = tmp_path / "fast.toml"
    path.write_text(PROFILE)
    plain = load_profile(str(path))
    assert (plain.features, plain.dispatch, plain.glibc) == ((), False, msgspec.UNSET)
    path.write_text(PROFILE + 'features = ["avx_vnni"]\ndispatch = true\nglibc = "2.17"\n')
    portable = load_profile(str(path))
    assert (portable.features, portable.dispatch, portable.glibc) == (("avx_vnni",), True, "2.17")


def test_a_recipe_may_name_its_backends_in_their_order(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE + BACKENDS)
    backends = load_recipe(f"{tmp_path}/").recipe.backends
    assert (backends.loader, backends.target) == ("toy_engine/lib/libtoy.so", "toy-cpu*")
    assert [(variant.name, variant.features) for variant in backends.variant] == [
        ("good", ("avx2", "fma")),
        ("base", ("sse4_2",)),
    ]
    assert (backends.single, backends.max_wheel_mib) == ({"TOY_SEVERAL": False}, 10)
    assert backends.several == {"TOY_SEVERAL": True, "TOY_NAMES": "{names}"}


def test_a_recipe_without_backends_has_none(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    assert load_recipe(f"{tmp_path}/").recipe.backends is None


def test_a_recipe_with_one_backend_needs_no_variants_and_no_definitions(tmp_path):
    text = BACKENDS[: BACKENDS.index("single")]
    (tmp_path / "recipe.toml").write_text(RECIPE + text)
    backends = load_recipe(f"{tmp_path}/").recipe.backends
    assert (backends.variant, backends.single, backends.several, backends.max_wheel_mib) == ((), {}, {}, None)


def test_an_unknown_key_of_a_variant(recipe_error):
    message, _ = recipe_error(RECIPE + BACKENDS.replace('name = "base"', 'nmae = "base"'))
    assert re.fullmatch(r"(:\d+)?: backends\.variant.*nmae: unknown key", message)


def test_a_recipe_may_be_named_by_its_folder(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    loaded = load_recipe(f"{tmp_path}/")
    assert loaded.folder == tmp_path
    assert isinstance(loaded.recipe.source, PackageSource)
    assert loaded.recipe.checks.in_process


def test_a_source_may_be_a_path(tmp_path):
    source = '[source]\ntype = "path"\npath = "source"\nversion = "1.0"\n'
    text = re.sub(r"\[source\].*?\n\n", source + "\n", RECIPE, flags=re.DOTALL)
    (tmp_path / "recipe.toml").write_text(text)
    assert load_recipe(str(tmp_path / "recipe.toml")).recipe.source == PathSource(path="source", version="1.0")


def test_an_unknown_key_is_named_with_line_and_nearest_key(profile_error):
    message, hint = profile_error(PROFILE + "openpm = true\n")
    assert message == ":6: openpm: unknown key"
    assert hint.startswith("did you mean 'openmp'? known here are: define, dispatch, features, flags, glibc, label,")


def test_an_unknown_key_with_no_near_one_gets_the_list(profile_error):
    message, hint = profile_error(PROFILE + "zzzzzzz = true\n")
    assert message == ":6: zzzzzzz: unknown key"
    assert hint.startswith("known here are: define,")


def test_an_unknown_key_of_a_nested_table(recipe_error):
    message, hint = recipe_error(RECIPE.replace("max-wheel-mib", "max-weel-mib"))
    assert message == ":21: checks.max-weel-mib: unknown key"
    assert "did you mean 'max-wheel-mib'?" in hint
    assert "isa-units" in hint


def test_an_unknown_key_of_a_source_knows_its_type(recipe_error):
    message, hint = recipe_error(RECIPE.replace("version =", "versoin ="))
    assert message == ":11: source.versoin: unknown key"
    assert "did you mean 'version'?" in hint
    assert "sha256" in hint
    assert "path" not in hint.split("known here are: ")[1].split(", ")


def test_an_underscore_where_a_hyphen_belongs(recipe_error):
    message, hint = recipe_error(RECIPE.replace("import-name", "import_name"))
    assert message == ":5: engine.import_name: unknown key"
    assert "did you mean 'import-name'?" in hint


def test_an_unknown_table(recipe_error):
    message, hint = recipe_error(RECIPE + "\n[chekcs]\nx = 1\n")
    assert message == ":23: chekcs: unknown key"
    assert "did you mean 'checks'?" in hint


def test_an_unknown_key_of_an_inline_table_is_named_without_line(recipe_error):
    text = RECIPE.replace("[checks]\nmax-wheel-mib = 4", "").replace(
        "schema = 1\n", "schema = 1\nchecks = { max-wheel-mib = 4, min-wheel-mib = 1 }\n"
    )
    message, _ = recipe_error(text)
    assert message == ": checks.min-wheel-mib: unknown key"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('level = "x86-64-v3"', 'level = "avx2"', ":4: level: Invalid enum value 'avx2'"),
        ('level = "x86-64-v3"', "level = 3", ":4: level: Expected `str`, got `int`"),
        ("schema = 1", "schema = 2", ":2: schema: Invalid enum value 2"),
        ('toolchain = ["clang", "gcc"]', "toolchain = []", ":5: toolchain: Expected `array` of length >= 1"),
        ('toolchain = ["clang", "gcc"]', 'toolchain = "gcc"', ":5: toolchain: Expected `array`, got `str`"),
        ('label = "fast"', 'label = "Fast One"', ":3: label: Expected `str` matching regex"),
        ("schema = 1", 'schema = 1\nopenmp = "no"', ":3: openmp: Expected `bool`, got `str`"),
        ("schema = 1", "schema = 1\nflags = [1]", ":3: flags: Expected `str`, got `int`"),
        ('toolchain = ["clang", "gcc"]', 'toolchain = ["icc"]', ":5: toolchain: Expected `str` matching regex"),
        ("schema = 1", "schema = 1\ndefine = { A = 1.5 }", ":3: define: Expected `bool | int | str`, got `float`"),
        ("schema = 1", 'schema = 1\ndefine = { "A B" = 1 }', ":3: define: Expected `str` matching regex"),
        ("schema = 1", 'schema = 1\nglibc = "2"', ":3: glibc: Expected `str` matching regex"),
        ("schema = 1", 'schema = 1\nglibc = "3.1"', ":3: glibc: Expected `str` matching regex"),
        ("schema = 1", 'schema = 1\nglibc = "2.17.1"', ":3: glibc: Expected `str` matching regex"),
        ("schema = 1", "schema = 1\nglibc = 2.17", ":3: glibc: Expected `str`, got `float`"),
        ("schema = 1", 'schema = 1\nfeatures = "avx2"', ":3: features: Expected `array`, got `str`"),
        ("schema = 1", 'schema = 1\ndispatch = "yes"', ":3: dispatch: Expected `bool`, got `str`"),
    ],
)
def test_a_wrong_value_is_named_with_key_line_and_reason(profile_error, old, new, message):
    said, hint = profile_error(PROFILE.replace(old, new))
    assert said.startswith(message)
    assert "truewheel schema" in hint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max-wheel-mib = 4", "max-wheel-mib = 0", ":21: checks.max-wheel-mib: Expected `float` > 0"),
        ('sha256 = "0', 'sha256 = "x', ":12: source.sha256: Expected `str` matching regex"),
        ('type = "package"', 'type = "git"', ":9: source.type: Invalid value 'git'"),
        ('backend = "scikit-build-core"', 'backend = "setuptools"', ":15: build.backend: Invalid enum value"),
        ('name = "toy-engine"', 'name = "Toy Engine"', ":4: engine.name: Expected `str` matching regex"),
        ("TOY_EXTRAS = false", "TOY_EXTRAS = [1]", ":17: build.define: Expected `bool | int | str`, got `array`"),
    ],
)
def test_a_wrong_value_of_a_nested_table(recipe_error, old, new, message):
    assert recipe_error(RECIPE.replace(old, new))[0].startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max-wheel-mib = 10", "max-wheel-mib = 0", ": backends.max-wheel-mib: Expected `float` > 0"),
        ('target = "toy-cpu*"\n', "", ": backends.target: required key is missing"),
        ('loader = "toy_engine/lib/libtoy.so"\n', "", ": backends.loader: required key is missing"),
        (
            "single = { TOY_SEVERAL = false }",
            "single = { TOY_SEVERAL = 1.5 }",
            ": backends.single: Expected `bool | int",
        ),
        ('name = "base"', 'name = "The Base"', ": backends.variant.name: Expected `str` matching regex"),
        ('features = ["sse4_2"]', 'features = "sse4_2"', ": backends.variant.features: Expected `array`, got `str`"),
    ],
)
def test_a_wrong_value_of_the_backends(recipe_error, old, new, message):
    said, hint = recipe_error(RECIPE + BACKENDS.replace(old, new))
    assert re.sub(r"^:\d+", "", said).startswith(message)
    assert hint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('import-name = "toy_engine"\n', ": engine.import-name: required key is missing"),
        ('type = "package"\n', ": source.type: required key is missing"),
        (f'sha256 = "{"0" * 64}"\n', ": source.sha256: required key is missing"),
        ("schema = 1\n", ": schema: required key is missing"),
        ("[checks]\nmax-wheel-mib = 4\n", ": checks: required key is missing"),
    ],
)
def test_a_missing_key(recipe_error, line, message):
    said, hint = recipe_error(RECIPE.replace(line, ""))
    assert said == message
    assert "truewheel schema" in hint


@pytest.mark.parametrize("text", ["schema = ", "schema", "[", "schema = 1\nschema = 1\n", "= 1", "a = 'x\n", "\0"])
def test_bad_toml(profile_error, text):
    message, _ = profile_error(text)
    assert message.startswith(": not valid TOML: ")


def test_toml_that_is_nested_too_deep(profile_error):
    message, _ = profile_error("schema = " + "[" * 20_000)
    assert message.startswith(": not valid TOML: ")


def test_a_file_that_is_no_utf_8(tmp_path):
    path = tmp_path / "fast.toml"
    path.write_bytes(PROFILE.encode() + b"# \xff\n")
    with pytest.raises(LoadError, match="cannot read"):
        load_profile(str(path))


def test_a_label_that_is_not_the_files_name(profile_error):
    message, hint = profile_error(PROFILE, "slow.toml")
    assert message == ": label: 'fast' is not the file's name 'slow'"
    assert 'label = "slow"' in hint


@pytest.mark.parametrize("load", [load_profile, load_recipe])
def test_a_file_that_is_not_there(tmp_path, load):
    with pytest.raises(LoadError, match="no such file") as caught:
        load(f"{tmp_path}/gone.toml")
    assert "or a TOML file" in caught.value.hint


def test_a_folder_without_a_recipe(tmp_path):
    with pytest.raises(LoadError, match=r"no such file: .*recipe\.toml"):
        load_recipe(f"{tmp_path}/")


def test_an_unknown_recipe_gets_a_suggestion():
    with pytest.raises(LoadError, match="there is no recipe named 'lama-cpp-python'") as caught:
        load_recipe("lama-cpp-python")
    assert caught.value.hint.startswith("did you mean 'llama-cpp-python'? known are: ")


def test_an_unknown_profile_gets_a_suggestion():
    with pytest.raises(LoadError, match="there is no profile named 'natve'") as caught:
        load_profile("natve")
    assert caught.value.hint.startswith("did you mean 'native'? known are: ")


@pytest.mark.parametrize("name", ["", "zzzzzz", ".."])
def test_a_name_far_from_all_gets_the_list(name):
    with pytest.raises(LoadError, match="there is no profile named") as caught:
        load_profile(name)
    assert caught.value.hint.startswith("known are: ")


_VALUE = st.recursive(
    st.booleans().map(lambda value: str(value).lower())
    | st.integers(-9, 9).map(str)
    | st.just("1.5")
    | st.sampled_from(['"native"', '"gcc"', '"package"', "'x'", "1979-05-27"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | inner.map(lambda item: f"{{ a = {item} }}")
    ),
    max_leaves=4,
)
_KEYS = ("schema", "label", "level", "toolchain", "engine", "source", "build", "checks", "package", "define", "x")
_PAIRS = st.lists(st.tuples(st.sampled_from(_KEYS), _VALUE), max_size=8, unique_by=lambda pair: pair[0])


@pytest.mark.parametrize("load", [load_profile, load_recipe])
@given(pairs=_PAIRS)
def test_no_tables_give_anything_but_a_table_or_a_refusal(tmp_path_factory, load, pairs):
    path = tmp_path_factory.getbasetemp() / "native.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in pairs))
    try:
        load(str(path))
    except LoadError as error:
        message = error.message
    else:
        return
    assert message.startswith(str(path))
    assert "\n" not in message


@given(text=st.text(max_size=60))
def test_no_text_gives_anything_but_a_refusal(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "fast.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(LoadError):
        load_profile(str(path))
