"""The numbers of tensor and file types, against gguf's own tables."""

import gguf

from truewheel.models.gguf_types import BY_NAME, FILE_TYPES, TENSOR_TYPES


def test_blocks_are_what_gguf_says():
    for kind, (weights, told) in gguf.GGML_QUANT_SIZES.items():
        # gguf's table has Q8_1 from when its scales had 32 bits; it is never in a file.
        size = 2 * 2 + 32 if kind.name == "Q8_1" else told
        known = TENSOR_TYPES[kind.value]
        assert (known.name, known.weights, known.size) == (kind.name, weights, size)


def test_file_types_are_named_as_gguf_names_them():
    for kind in gguf.LlamaFileType:
        if kind.name != "GUESSED":
            assert FILE_TYPES[kind.value] == kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")


def test_blocks_of_more_than_one_weight_are_quantized():
    plain = {name for name, kind in BY_NAME.items() if not kind.quantized}
    assert plain == {"F32", "F16", "BF16", "F64", "I8", "I16", "I32", "I64"}
