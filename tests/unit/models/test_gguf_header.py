"""The bounded reader of a model file's header."""

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truewheel.errors import LoadError
from truewheel.measure.cost import model_cost
from truewheel.models.gguf_header import GgufHeader, GgufTensor, read_gguf_contents, read_gguf_header

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64 = 4, 5, 6, 7, 8, 9, 10
F32, Q4_0, Q8_0 = 0, 2, 8


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def key(name, kind, data):
    return text(name) + struct.pack("<I", kind) + data


def tensor(name, dimensions, kind=F32, offset=0):
    shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


KEYS = (
    key("general.architecture", STRING, text("llama")),
    key("general.name", STRING, text("a model")),
    key("general.alignment", UINT32, struct.pack("<I", 32)),
    key("llama.context_length", UINT64, struct.pack("<Q", 128)),
    key("llama.scale", FLOAT32, struct.pack("<f", 0.5)),
    key("tokenizer.add_bos", BOOL, b"\1"),
    key("tokenizer.tokens", ARRAY, struct.pack("<IQ", STRING, 3) + text("a") + text("b") + text("")),
    key("tokenizer.scores", ARRAY, struct.pack("<IQ", FLOAT32, 3) + bytes(12)),
)
TENSORS = (tensor("a", (32, 2)), tensor("b", (32, 4), Q8_0, 256))
DATA = bytes(256 + 4 * 34)


def model(keys=KEYS, tensors=TENSORS, data=DATA, *, version=3, tensor_count=None, key_count=None, alignment=32):
    counts = len(tensors) if tensor_count is None else tensor_count, len(keys) if key_count is None else key_count
    header = b"GGUF" + struct.pack("<IQQ", version, *counts) + b"".join([*keys, *tensors])
    return header + bytes(-len(header) % alignment) + data


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.gguf"


@pytest.fixture
def refusal(path):
    """Write a model and return the error that reading it raises."""

    def read(data):
        path.write_bytes(data)
        with pytest.raises(LoadError) as caught:
            read_gguf_header(path)
        assert caught.value.exit_code == 2
        assert caught.value.hint
        assert str(path) in caught.value.message
        return caught.value.message

    return read


@pytest.mark.parametrize("version", [2, 3])
def test_a_sound_header(path, version):
    path.write_bytes(model(version=version))
    assert read_gguf_header(path) == GgufHeader(version, "llama", "a model", 2, len(model()))


def test_another_alignment(path):
    keys = (key("general.alignment", UINT32, struct.pack("<I", 64)),)
    path.write_bytes(model(keys, alignment=64))
    assert read_gguf_header(path).tensors == 2


def test_tensors_are_told_with_their_dimensions_and_bytes(path):
    path.write_bytes(model(tensors=(*TENSORS, tensor("c", (7, 3), 999))))
    assert read_gguf_contents(path).tensors == (
        GgufTensor("a", (32, 2), F32, 256),
        GgufTensor("b", (32, 4), Q8_0, 4 * 34, 256),
        GgufTensor("c", (7, 3), 999, None),
    )
    assert [one.weights for one in read_gguf_contents(path).tensors] == [64, 128, 21]


def test_numbers_are_told_with_their_sign_and_fraction(path):
    numbers = {
        "a": (0, "<B", 200), "b": (1, "<b", -3), "c": (2, "<H", 60_000), "d": (3, "<h", -300), "e": (4, "<I", 1 << 31),
        "f": (5, "<i", -1), "g": (6, "<f", 0.5), "h": (10, "<Q", 1 << 63), "i": (11, "<q", -1), "j": (12, "<d", 0.1),
    }  # fmt: skip
    keys = tuple(key(name, kind, struct.pack(code, value)) for name, (kind, code, value) in numbers.items())
    path.write_bytes(model((*keys, key("flag", BOOL, b"\1"))))
    assert read_gguf_contents(path).numbers == {name: value for name, (_, _, value) in numbers.items()}


def test_short_lists_of_integers_are_told_and_others_left_out(path):
    lists = (
        key("heads", ARRAY, struct.pack("<IQ3i", INT32, 3, 4, -1, 0)),
        key("empty", ARRAY, struct.pack("<IQ", UINT64, 0)),
        key("scores", ARRAY, struct.pack("<IQf", FLOAT32, 1, 0.5)),
        key("long", ARRAY, struct.pack("<IQ", UINT32, 4097) + bytes(4 * 4097)),
    )
    path.write_bytes(model(lists))
    assert read_gguf_contents(path).lists == {"heads": (4, -1, 0), "empty": ()}


def test_no_more_lists_are_kept_than_a_model_has(path):
    path.write_bytes(model(tuple(key(f"{n}", ARRAY, struct.pack("<IQI", UINT32, 1, n)) for n in range(200))))
    assert len(read_gguf_contents(path).lists) == 64


def test_contents_are_refused_where_the_header_is(path):
    path.write_bytes(model()[:-1])
    with pytest.raises(LoadError, match="is cut off"):
        read_gguf_contents(path)
    with pytest.raises(LoadError, match="No such file"):
        read_gguf_contents(path.with_name("absent"))


def test_more_weights_than_can_be_are_refused_in_contents_alone(path):
    path.write_bytes(model(tensors=(tensor("t", (1 << 40, 1 << 40), kind=999),)))
    assert read_gguf_header(path).tensors == 1
    with pytest.raises(LoadError, match=f"tensor t has {1 << 80} weights"):
        read_gguf_contents(path)


@pytest.mark.parametrize("data", [b"", b"GGUF", b"GGML" + bytes(40), b"\x7fELF" + bytes(40), b"hello, world" * 4])
def test_what_is_no_gguf(refusal, data):
    assert "is not a GGUF model" in refusal(data)


@pytest.mark.parametrize("version", [0, 1, 4, 0x03000000])
def test_an_unknown_version_or_byte_order(refusal, version):
    assert f"version {version} is not known" in refusal(model(version=version))


def test_a_model_that_is_not_there(path):
    with pytest.raises(LoadError, match="No such file or directory"):
        read_gguf_header(path)


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(LoadError, match="Is a directory"):
        read_gguf_header(tmp_path)


def test_a_model_is_cut_off_wherever_it_is_cut(path):
    whole = model()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(LoadError):
            read_gguf_header(path)


def test_tensors_behind_the_end(refusal):
    message = refusal(model()[:-1])
    assert "is cut off: its tensors end at byte" in message
    assert "is cut off" in refusal(model(tensors=(tensor("a", (32, 2), offset=1 << 40),)))


@pytest.mark.parametrize("count", [100_001, 1 << 32, (1 << 64) - 1])
@pytest.mark.parametrize("which", ["tensor_count", "key_count"])
def test_huge_counts(refusal, which, count):
    assert f"{count}" in refusal(model(**{which: count}))


def test_counts_that_are_allowed_and_not_there(refusal):
    assert "is cut off" in refusal(model(tensor_count=100_000))
    assert refusal(model(key_count=100_000))


@pytest.mark.parametrize("length", [(16 << 20) + 1, 1 << 40, (1 << 64) - 1])
def test_a_huge_text(refusal, length):
    assert f"a text of {length} bytes" in refusal(model((struct.pack("<Q", length),)))


def test_a_text_longer_than_the_file(refusal):
    assert "is cut off inside its header" in refusal(model((struct.pack("<Q", 5000),), key_count=1))


@pytest.mark.parametrize("inner", [FLOAT32, STRING])
def test_a_huge_array(refusal, inner):
    array = key("tokenizer.scores", ARRAY, struct.pack("<IQ", inner, (4 << 20) + 1))
    assert "tokenizer.scores has 4194305 elements" in refusal(model((array,)))


def test_an_array_longer_than_the_file(refusal):
    assert "is cut off" in refusal(model((key("x", ARRAY, struct.pack("<IQ", UINT64, 1000)),), key_count=1))


@pytest.mark.parametrize("inner", [ARRAY, 13, 0xFFFFFFFF])
def test_an_array_of_another_type(refusal, inner):
    assert f"x is an array of type {inner}" in refusal(model((key("x", ARRAY, struct.pack("<IQ", inner, 1)),)))


def test_a_value_of_another_type(refusal):
    assert "x has type 13" in refusal(model((key("x", 13, b""),)))


@pytest.mark.parametrize("alignment", [0, 7, 12, (1 << 20) + 8])
def test_an_alignment_that_makes_no_sense(refusal, alignment):
    keys = (key("general.alignment", UINT32, struct.pack("<I", alignment)),)
    assert f"alignment {alignment} makes no sense" in refusal(model(keys))


def test_a_tensor_with_too_many_dimensions(refusal):
    assert "tensor t has 5 dimensions" in refusal(model(tensors=(tensor("t", (1, 1, 1, 1, 1)),)))
    assert "tensor t has 4294967295 dimensions" in refusal(model(tensors=(text("t") + b"\xff" * 4,)))


def test_a_tensor_of_overflowing_size(refusal):
    assert "is cut off" in refusal(model(tensors=(tensor("t", (1 << 63,) * 4),)))


def test_a_tensor_of_an_unknown_type_is_not_measured(path):
    path.write_bytes(model(tensors=(tensor("t", (1 << 40,), kind=999),)))
    assert read_gguf_header(path).tensors == 1


def test_a_text_that_is_no_utf_8_is_read_all_the_same(path):
    path.write_bytes(model((key("general.name", STRING, struct.pack("<Q", 2) + b"\xff\xfe"),)))
    assert read_gguf_header(path).name == "\ufffd\ufffd"


def read_or_refuse(path, data):
    path.write_bytes(data)
    start = time.monotonic()
    try:
        contents = read_gguf_contents(path)
    except LoadError:
        pass
    else:
        assert contents.header.size == len(data)
        model_cost(contents)
    assert time.monotonic() - start < 2


@given(st.lists(st.tuples(st.integers(0, len(model()) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_changed_bytes_give_a_header_or_a_refusal_soon(tmp_path_factory, changes):
    data = bytearray(model())
    for position, value in changes:
        data[position] = value
    read_or_refuse(tmp_path_factory.getbasetemp() / "changed.gguf", bytes(data))


@given(
    st.integers(4, len(model()) - 8), st.sampled_from([b"\xff" * 4, b"\xff" * 8, bytes(8), b"\xff\xff\x3f\0\0\0\0\0"])
)
def test_extreme_numbers_give_a_header_or_a_refusal_soon(tmp_path_factory, position, number):
    data = model()
    data = data[:position] + number + data[position + len(number) :]
    read_or_refuse(tmp_path_factory.getbasetemp() / "extreme.gguf", data)


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_magic_give_a_header_or_a_refusal(tmp_path_factory, data):
    read_or_refuse(tmp_path_factory.getbasetemp() / "any.gguf", b"GGUF" + data)
