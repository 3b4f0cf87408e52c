"""Presets: the table, what is refused in it and how, what is written, and the seeds that come with the program."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tools.reference import reference_pages
from truewheel import files
from truewheel.cli.schema_ import command
from truewheel.config.load import available
from truewheel.config.presets import (
    Measured,
    Preset,
    PresetEvidence,
    PresetFigures,
    PresetMachine,
    PresetModel,
    Purpose,
    RunnerUp,
    RunSettings,
    load_preset,
    make_settings,
    to_toml,
    write_preset,
)
from truewheel.errors import LoadError

ROOT = Path(__file__).parents[3]
TEXT = """\
# A comment first.
schema = 1

[for]
machine = { cpu = "Imagined CPU 3000", cores = 4 }
engine = "llama-rs"

[settings]
n_ctx = 2048
n_threads = 2
flash_attn = "on"
cpus = [0, 2]
"""
MEASURED = '\n[evidence]\nmeasured = true\nhow = "in turn"\n'


@pytest.fixture
def refused(tmp_path):
    """Load a preset's text and return what is said of it, without the file's name."""

    def load(text):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(LoadError) as caught:
            load_preset(str(path))
        assert caught.value.exit_code == 2
        assert caught.value.message.startswith(str(path))
        return caught.value.message.removeprefix(str(path)), caught.value.hint

    return load


def make_preset(**changes):
    given = {
        "schema": 1,
        "purpose": Purpose(
            machine=PresetMachine(cpu="Imagined CPU 3000", cores=4, memory=8 << 30),
            model=PresetModel(name="smollm2", architecture="llama", quantization="Q4_1", parameters=134_515_008),
            engine="llama-cpp-python",
            version="0.3.36",
            goal="decode",
        ),
        "settings": make_settings({"n_threads": 2, "own_pool": True, "poll": 0, "cpus": [1, 0], "type_k": "q8_0"}),
        "figures": PresetFigures(
            prefill=Measured(value=512.25), decode=Measured(value=60.5, ratio=1.25, low=1.2, high=1.3)
        ),
        "runner_up": RunnerUp(settings=make_settings({"n_threads": 1}), figures=PresetFigures(first=Measured(value=1))),
        "evidence": PresetEvidence(measured=True, noise_floor=1e-9, steal=0.0, rounds=5, how="defaults in turn"),
    }
    return Preset(**{**given, **changes})


@pytest.mark.parametrize("name", available("presets"))
def test_every_preset_of_the_repository_loads(name):
    assert load_preset(name).evidence is not None


def test_the_seeds_are_what_they_say_and_do_not_claim_to_be_measured():
    assert load_preset("i3-6100-16gb").chosen() == {
        "n_ctx": 2048,
        "n_batch": 1024,
        "n_ubatch": 256,
        "n_threads": 2,
        "n_threads_batch": 3,
        "use_mmap": True,
        "use_mlock": False,
    }
    assert load_preset("16-core").chosen() == {
        "n_batch": 2048,
        "n_ubatch": 512,
        "n_threads": 10,
        "n_threads_batch": 16,
        "flash_attn": "on",
        "cpus": list(range(16)),
    }
    for name in ("i3-6100-16gb", "16-core"):
        preset = load_preset(name)
        assert preset.figures is None
        assert not preset.evidence.measured
        assert "not measured by us" in preset.evidence.how


def test_a_preset_has_its_values_and_what_is_left_out_is_not_chosen(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    preset = load_preset(str(path))
    assert preset.purpose.machine == PresetMachine(cpu="Imagined CPU 3000", cores=4)
    assert (preset.purpose.engine, preset.purpose.version, preset.purpose.model) == ("llama-rs", "", None)
    assert preset.chosen() == {"n_ctx": 2048, "n_threads": 2, "flash_attn": "on", "cpus": [0, 2]}


def test_a_name_that_is_not_there_gets_the_nearest():
    with pytest.raises(LoadError, match="there is no preset named '16core'") as caught:
        load_preset("16core")
    assert "did you mean '16-core'?" in caught.value.hint
    with pytest.raises(LoadError, match="no such file"):
        load_preset("presets/none.toml")


@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        (("n_threads = 2", "n_thread = 2"), ":10: settings.n_thread: unknown key", "did you mean 'n_threads'?"),
        (("[settings]", "[setings]"), ":8: setings: unknown key", "did you mean 'settings'?"),
        (("n_ctx", "n-ctx"), ":9: settings.n-ctx: unknown key", "did you mean 'n_ctx'?"),
        (("cores", "core"), ": for.machine.core: unknown key", "did you mean 'cores'?"),
        (("n_threads = 2", "n_threads = 0"), ":10: settings.n_threads: Expected `int` >= 1", "truewheel schema preset"),
        (("n_threads = 2", "poll = 101"), ":10: settings.poll: Expected `int` <= 100", "truewheel schema preset"),
        (("n_threads = 2", "use_mmap = 1"), ":10: settings.use_mmap: Expected `bool | null`, got `int`", "schema"),
        (("n_threads = 2", 'type_k = "q5_0"'), ":10: settings.type_k: Invalid enum value 'q5_0'", "schema preset"),
        (("[0, 2]", "[]"), ":12: settings.cpus: Expected `array` of length >= 1", "schema preset"),
        (("[0, 2]", "[0, 512]"), ":12: settings.cpus: Expected `int` <= 511", "schema preset"),
        (
            ("[0, 2]", "[2, 2]"),
            ":8: settings: cpus is [2, 2], and must be a list of different numbers",
            "schema preset",
        ),
        (("n_threads = 2", "n_batch = 128\nn_ubatch = 256"), ":8: settings: n_ubatch (256) is more than n_batch", ""),
        (("n_threads = 2", "n_ubatch = 256\nn_batch = 128"), ":8: settings: n_ubatch (256) is more than n_batch", ""),
        (('"on"', '"off"\ntype_v = "q8_0"'), ':8: settings: type_v = "q8_0" needs flash attention', "schema preset"),
        (("schema = 1", "schema = 2"), ":2: schema: Invalid enum value 2", "schema preset"),
        (("schema = 1", ""), ": schema: required key is missing", "schema preset"),
        (("[for]", "[for"), ": not valid TOML", "named in the message"),
        (('"llama-rs"', '"llama-rs"\ngoal = "speed"'), ":7: for.goal: Invalid enum value 'speed'", "schema preset"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(refused, change, said, hint):
    message, advice = refused(TEXT.replace(*change))
    assert message.startswith(said)
    assert hint in advice


def test_a_quantized_v_cache_is_fine_where_flash_attention_is_not_switched_off():
    for flash in ({}, {"flash_attn": "on"}, {"flash_attn": "auto"}):
        assert make_settings({"type_v": "q8_0", **flash}).chosen() == {"type_v": "q8_0", **flash}
    assert make_settings({"type_v": "f16", "flash_attn": "off"}).type_v == "f16"


def test_figures_are_of_what_was_measured(refused, tmp_path):
    figures = "\n[figures]\ndecode = { value = 60.0 }\n"
    for evidence in ("", '\n[evidence]\nmeasured = false\nhow = "a guess"\n'):
        assert "only what was measured has figures" in refused(TEXT + figures + evidence)[0]
    path = tmp_path / "mine.toml"
    path.write_text(TEXT + figures + MEASURED)
    assert load_preset(str(path)).figures.decode == Measured(value=60.0)


def test_what_was_not_measured_says_what_it_rests_on(refused):
    assert refused(TEXT + "\n[evidence]\nmeasured = false\n")[0].startswith(":14: evidence: a preset that was not")


@pytest.mark.parametrize("ends", ["ratio = 1.1", "ratio = 1.1, low = 1.2, high = 1.3", "low = 1.0, high = 1.1"])
def test_a_ratio_lies_in_its_interval(refused, ends):
    text = f"\n[figures]\npeak = {{ value = 5, {ends} }}\n"
    assert "the ratio between the other two" in refused(TEXT + text + MEASURED)[0]


def test_settings_made_in_code_are_checked_too():
    with pytest.raises(ValueError, match="unknown field `n_thread`"):
        make_settings({"n_thread": 1})
    with pytest.raises(ValueError, match="n_ubatch"):
        make_settings({"n_batch": 1, "n_ubatch": 2})
    assert make_settings({}).chosen() == {}


def test_what_is_written_is_read_again(tmp_path):
    preset = make_preset()
    path = tmp_path / "mine.toml"
    write_preset(path, preset)
    assert load_preset(str(path)) == preset
    first = path.read_bytes()
    write_preset(path, load_preset(str(path)))
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_says_what_it_is_and_how_to_use_it():
    lines = to_toml(make_preset(), "mine.toml").splitlines()
    head = [line for line in lines if line.startswith("#")]
    assert head == lines[: len(head)]
    assert "llama-cpp-python 0.3.36" in head[0]
    assert "smollm2" in head[0]
    assert "Imagined CPU 3000" in head[0]
    assert any(
        'from llama_rs.truewheel_preset import load; llama = load("model.gguf", "mine.toml")' in it for it in head
    )
    assert "decode = { value = 60.5, ratio = 1.25, low = 1.2, high = 1.3 }" in lines
    assert "[runner-up.settings]" in lines
    assert "cpus = [1, 0]" in lines


def test_what_could_not_be_read_again_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="poll"):
        write_preset(tmp_path / "mine.toml", make_preset(settings=RunSettings(poll=101)))
    assert not list(tmp_path.iterdir())


def test_an_attempt_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "mine.toml"
    write_preset(path, make_preset())
    before = path.read_bytes()

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        write_preset(path, make_preset(runner_up=None))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
counts = st.none() | st.integers(0, 2**62)
amounts = st.none() | st.floats(0, 1e300)


@given(names, names, names, counts, amounts, st.none() | st.lists(st.integers(0, 511), min_size=1, unique=True))
def test_whatever_a_model_or_machine_is_called_survives(cpu, model, how, count, amount, cpus):
    preset = make_preset(
        purpose=Purpose(machine=PresetMachine(cpu=cpu, memory=count), model=PresetModel(name=model)),
        settings=RunSettings(cpus=None if cpus is None else tuple(cpus)),
        figures=PresetFigures(peak=None if amount is None else Measured(value=amount)),
        evidence=PresetEvidence(measured=True, how=how, trials=count, seconds=amount),
    )
    assert msgspec.toml.decode(to_toml(preset, f"{cpu}.toml"), type=Preset) == preset


def test_the_schema_can_be_printed_and_knows_every_setting():
    result = CliRunner().invoke(command, ["preset"])
    assert result.exit_code == 0
    definitions = msgspec.json.decode(result.stdout)["$defs"]
    assert set(definitions["RunSettings"]["properties"]) == set(RunSettings.__struct_fields__)
    assert set(definitions["Preset"]["required"]) == {"schema", "for", "settings"}
    assert not definitions["Preset"]["additionalProperties"]
    assert {"runner-up", "evidence", "figures"} <= set(definitions["Preset"]["properties"])


def test_every_key_has_a_meaning_on_the_reference_page():
    rows = [line for line in reference_pages()["preset.md"].splitlines() if line.startswith("| `")]
    assert {row.split("`")[1] for row in rows} >= set(RunSettings.__struct_fields__) | {"for", "noise-floor", "cpu"}
    assert all(row.rsplit("|", 2)[1].strip() for row in rows)
    assert not any("null" in row or "nothing" in row.split("|")[2] for row in rows)


def test_presets_go_into_the_installed_package():
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["presets"] == "truewheel/shared/presets"


def test_an_installed_package_finds_them_in_its_own_folder(tmp_path, monkeypatch):
    folder = tmp_path / "shared" / "presets"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(TEXT)
    monkeypatch.setattr("truewheel.config.load.data_root", lambda: tmp_path / "shared")
    assert available("presets") == ["mine"]
    assert load_preset("mine").chosen()["n_ctx"] == 2048
