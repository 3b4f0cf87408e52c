"""Models by name: what is made on the spot, and where it is kept."""

import msgspec
import pytest

from truewheel.config.locations import cache_root
from truewheel.errors import FetchError, LoadError
from truewheel.kept.record import refuse_kept
from truewheel.models import models, shapes
from truewheel.models.models import Model, find_model
from truewheel.models.shapes import Shape

SMALL = Shape(
    architecture="llama",
    layers=1,
    embedding=64,
    feed_forward=64,
    heads=2,
    key_heads=1,
    vocabulary=300,
    context=128,
    rope_base=1e4,
    rms_epsilon=1e-5,
    tied=True,
)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(shapes, "known_shapes", lambda: {"small-1m": SMALL})


@pytest.mark.usefixtures("small")
def test_a_synthetic_model_is_made_once_and_found_again(monkeypatch):
    told = []
    model = find_model("Small-1M:Q8_0", lambda done, total: told.append(done == total))
    assert model == Model(
        "small-1m:q8_0", model.path, models.DEFAULT_PROMPT, "", vocabulary_round_trips=True, synthetic=True, known=True
    )
    assert model.path.parent == cache_root() / "models"
    assert told[-1]
    monkeypatch.setattr(models, "write_synthetic", lambda *_: pytest.fail("it is there already"))
    assert find_model("small-1m:q8_0") == model


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_a_damaged_file_in_the_cache_is_made_anew(capsys, damage):
    path = find_model("small-1m:f16").path
    sound = path.read_bytes()
    path.write_bytes(damage(sound))
    refuse_kept.cache_clear()
    assert find_model("small-1m:f16").path.read_bytes() == sound
    assert capsys.readouterr().err.count("made anew") == 1


@pytest.mark.parametrize("name", ["qwen2.5-1.5b", "qwen2.5-1.5b:q9", "no-such-shape:q8_0"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(LoadError) as caught:
        find_model(name)
    assert caught.value.hint


def test_tiny_is_synthetic_and_a_file_is_not(tmp_path):
    tiny = find_model("tiny")
    assert tiny.synthetic
    path = tmp_path / "a:b.gguf"
    path.write_bytes(tiny.path.read_bytes())
    model = find_model(str(path))
    assert (model.name, model.path, model.synthetic) == ("a:b.gguf", path, False)


def test_a_file_that_is_not_there_is_refused_with_the_names_there_are():
    with pytest.raises(LoadError, match="No such file") as caught:
        find_model("absent.gguf")
    for name in ("`tiny`", "`smollm2`", "`qwen2.5-0.5b:q8_0`"):
        assert name in caught.value.hint


@pytest.mark.parametrize("name", ["tiny", "smollm2", "small-1m:f16"])
@pytest.mark.usefixtures("small")
def test_a_cache_folder_that_cannot_be_is_told_in_a_line(name, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(FetchError, match="the model stopped: Not a directory") as caught:
        find_model(name)
    assert "TRUEWHEEL_CACHE_DIR" in caught.value.hint


def test_a_shape_must_say_all_of_its_dimensions():
    with pytest.raises(msgspec.ValidationError, match="key-heads"):
        msgspec.convert({"architecture": "llama", "layers": 1, "embedding": 2, "feed-forward": 3, "heads": 1}, Shape)
