"""What a model costs for each token, against figures worked out by hand."""

import gguf
import numpy as np
import pytest

from truewheel.errors import LoadError
from truewheel.measure.cost import file_type_name, model_cost, model_facts
from truewheel.measure.result import Cost
from truewheel.models.gguf_header import GgufContents, GgufHeader, GgufTensor, read_gguf_contents
from truewheel.models.models import Model, find_model
from truewheel.models.shapes import Shape, SyntheticName
from truewheel.models.synthetic import write_synthetic

Q8 = gguf.GGMLQuantizationType.Q8_0
F16 = gguf.GGMLQuantizationType.F16
NUMBERS = {
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
}
VOCABULARY, EMBEDDING, FORWARD, KEYS = 100, 64, 96, 32


def tensor(name, *dimensions, kind=8, size=None):
    return GgufTensor(name, dimensions, kind, 34 if size is None else size)


def contents(tensors=(), numbers=None, lists=None, architecture="llama"):
    header = GgufHeader(3, architecture, "", len(tensors), 1000)
    return GgufContents(header, NUMBERS if numbers is None else numbers, lists or {}, tuple(tensors))


def write_model(path, *, tied, kind=Q8, file_type=7, key_length=None):
    """Write a Llama of two blocks with gguf."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_embedding_length(EMBEDDING)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    if file_type is not None:
        writer.add_file_type(file_type)
    if key_length:
        writer.add_key_length(key_length)
        writer.add_value_length(key_length)

    def matrix(name, rows, columns):
        writer.add_tensor(name, gguf.quants.quantize(np.ones((rows, columns), np.float32), kind), raw_dtype=kind)

    matrix("token_embd.weight", VOCABULARY, EMBEDDING)
    writer.add_tensor("rope_freqs.weight", np.ones(8, np.float32))
    for layer in range(2):
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", np.ones(EMBEDDING, np.float32))
        matrix(f"blk.{layer}.attn_q.weight", EMBEDDING, EMBEDDING)
        writer.add_tensor(f"blk.{layer}.attn_q.bias", np.ones(EMBEDDING, np.float32))
        matrix(f"blk.{layer}.attn_k.weight", KEYS, EMBEDDING)
        matrix(f"blk.{layer}.attn_v.weight", KEYS, EMBEDDING)
        matrix(f"blk.{layer}.ffn_up.weight", FORWARD, EMBEDDING)
    if not tied:
        matrix("output.weight", VOCABULARY, EMBEDDING)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# By hand: a block has 64 x 64 + 2 x 64 x 32 + 64 x 96 = 14,336 weights in matrices, and 64 + 64 in vectors.
BLOCKS = 2 * 14_336
HEAD = 100 * 64
VECTORS = 2 * (64 + 64)


@pytest.mark.parametrize("tied", [True, False])
def test_a_small_model_by_hand(tmp_path, tied):
    path = write_model(tmp_path / "m.gguf", tied=tied)
    facts = model_facts(Model("m", path, "", "", vocabulary_round_trips=True, synthetic=True))
    assert (facts.name, facts.architecture, facts.quantization, facts.synthetic) == ("m", "llama", "Q8_0", True)
    assert facts.size == path.stat().st_size
    assert facts.parameters == BLOCKS + VECTORS + (HEAD if tied else 2 * HEAD)
    assert facts.cost == Cost(
        # Either way one matrix of the size of the vocabulary is read; Q8_0 has 34 bytes for 32 weights.
        weights=(BLOCKS + HEAD) // 32 * 34 + (VECTORS + 8) * 4,
        # Two blocks, two heads of 16 numbers, keys and values, 2 bytes each.
        cache=2 * 2 * 16 * 2 * 2,
        operations=2 * (BLOCKS + HEAD),
        # Two blocks, four heads of 16 numbers, with keys and with values, a multiplication and an addition each.
        attention=4 * 2 * 4 * 16,
        integer=True,
    )


def test_16_bit_weights_are_no_integers(tmp_path):
    cost = model_cost(read_gguf_contents(write_model(tmp_path / "m.gguf", tied=True, kind=F16, file_type=1)))
    assert cost.weights == 2 * (BLOCKS + HEAD) + 4 * (VECTORS + 8)
    assert not cost.integer


def test_heads_may_be_longer_than_the_embedding_divides(tmp_path):
    cost = model_cost(read_gguf_contents(write_model(tmp_path / "m.gguf", tied=True, key_length=40)))
    assert (cost.cache, cost.attention) == (2 * 2 * 40 * 2 * 2, 4 * 2 * 4 * 40)


def test_keys_and_values_may_differ():
    numbers = NUMBERS | {"llama.attention.key_length": 24, "llama.attention.value_length": 8}
    cost = model_cost(contents(numbers=numbers))
    assert (cost.cache, cost.attention) == (2 * 2 * 2 * (24 + 8), 2 * 2 * 4 * (24 + 8))


def test_layers_may_have_heads_of_their_own():
    lists = {"llama.attention.head_count_kv": (4, 0), "llama.attention.head_count": (4, 4)}
    cost = model_cost(contents(lists=lists))
    assert (cost.cache, cost.attention) == (4 * 16 * 2 * 2, 4 * 4 * 16)


def test_without_heads_of_keys_each_head_has_its_own():
    numbers = {key: value for key, value in NUMBERS.items() if not key.endswith("_kv")}
    assert model_cost(contents(numbers=numbers)).cache == 2 * 4 * 16 * 2 * 2


def test_a_token_reads_the_experts_that_it_uses():
    numbers = NUMBERS | {"llama.expert_count": 8, "llama.expert_used_count": 2}
    experts = [
        tensor("blk.0.ffn_up_exps.weight", 64, 32, 8, size=64 * 8 * 34),
        tensor("blk.0.ffn_up_exps.bias", 32, 8, kind=0, size=32 * 8 * 4),
        tensor("blk.0.ffn_up_shexp.weight", 64, 32, size=64 * 34),
        tensor("blk.0.ffn_gate_inp.weight", 64, 8, kind=0, size=64 * 8 * 4),
    ]
    cost = model_cost(contents(experts, numbers))
    assert cost.weights == 64 * 2 * 34 + 32 * 2 * 4 + 64 * 34 + 64 * 8 * 4
    assert cost.operations == 2 * (64 * 32 * 2 + 64 * 32 + 64 * 8)
    assert cost.integer


@pytest.mark.parametrize("change", [{"llama.expert_count": 0}, {"llama.expert_used_count": 9}, {}])
def test_experts_of_which_the_header_says_too_little(change):
    numbers = NUMBERS | ({"llama.expert_count": 8, "llama.expert_used_count": 2} | change if change else {})
    assert model_cost(contents([tensor("blk.0.ffn_up_exps.weight", 64, 32, 8)], numbers)) is None


def test_what_is_looked_up_is_not_read_whole():
    rows = [tensor(name, 64, 100) for name in ("token_embd.weight", "per_layer_token_embd.weight", "output.weight")]
    assert model_cost(contents(rows)).operations == 2 * 64 * 100


def test_most_bytes_decide_whether_it_is_integers():
    half = tensor("blk.0.attn_q.weight", 64, 64, kind=1, size=64 * 64 * 2)
    small = tensor("blk.0.attn_k.weight", 64, 64, size=64 * 2 * 34)
    assert not model_cost(contents([half, small])).integer
    assert model_cost(contents([half, small, small, small])).integer


@pytest.mark.parametrize(
    "change",
    [
        {"llama.block_count": None},
        {"llama.block_count": 0},
        {"llama.block_count": 1 << 40},
        {"llama.block_count": -1},
        {"llama.block_count": 2.0},
        {"llama.embedding_length": None},
        {"llama.attention.head_count": None},
        {"llama.attention.head_count": 0},
        {"llama.attention.head_count": 1 << 60},
        {"llama.attention.head_count": 65},
        {"llama.attention.head_count_kv": 0},
        {"llama.attention.kv_lora_rank": 512},
    ],
)
def test_a_header_that_says_too_little_or_nonsense_has_no_cost(change):
    numbers = {key: value for key, value in (NUMBERS | change).items() if value is not None}
    assert model_cost(contents(numbers=numbers)) is None


@pytest.mark.parametrize("heads", [(4,), (), (4, 1 << 40), (4, -1), (0, 0)])
def test_a_list_of_heads_that_makes_no_sense_has_no_cost(heads):
    assert model_cost(contents(lists={"llama.attention.head_count": heads})) is None


def test_a_tensor_of_an_unknown_type_has_no_cost():
    unknown = GgufTensor("blk.0.attn_q.weight", (64, 64), 999, None)
    assert model_cost(contents([unknown])) is None


@pytest.mark.parametrize(
    ("number", "name"), [(15, "Q4_K_M"), (1024 + 15, "Q4_K_M"), (0, "F32"), (999, ""), (None, ""), (15.0, "")]
)
def test_the_quantization_of_a_file(number, name):
    numbers = {} if number is None else {"general.file_type": number}
    assert file_type_name(contents(numbers=numbers)) == name


def test_a_synthetic_model_costs_what_its_shape_says(tmp_path):
    shape = Shape(
        architecture="qwen2",
        layers=3,
        embedding=256,
        feed_forward=512,
        heads=4,
        key_heads=2,
        vocabulary=400,
        context=128,
        rope_base=1e6,
        rms_epsilon=1e-6,
        tied=True,
        biases=True,
    )
    write_synthetic(tmp_path / "m.gguf", SyntheticName("m", shape, "q8_0"))
    facts = model_facts(Model("m:q8_0", tmp_path / "m.gguf", "", "", vocabulary_round_trips=True, synthetic=True))
    matrices = 400 * 256 + 3 * (2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 512)
    vectors = 256 + 3 * (2 * 256 + 256 + 2 * 128)
    assert facts.parameters == matrices + vectors
    assert facts.cost == Cost(
        weights=matrices // 32 * 34 + vectors * 4,
        cache=3 * 2 * 64 * 2 * 2,
        operations=2 * matrices,
        attention=4 * 3 * 4 * 64,
        integer=True,
    )


def test_the_tiny_model_has_a_cost():
    facts = model_facts(find_model("tiny"))
    assert (facts.name, facts.synthetic, facts.quantization) == ("tiny", True, "")
    assert facts.cost.operations == 2 * (320 * 256 + 3 * (2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 768))


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"nothing")
    with pytest.raises(LoadError, match="not a GGUF"):
        model_facts(Model("m", tmp_path / "m.gguf", "", "", vocabulary_round_trips=False))
