"""What a model answers, computed here."""

from __future__ import annotations

import numpy as np
import pytest

from truewheel.errors import LoadError
from truewheel.models.models import find_model
from truewheel.models.reference import Reference


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEWHEEL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return Reference(find_model("tiny").path)


LLAMA_CPP = [(51, 0.5132), (51, 0.2379), (51, 0.2514), (51, 0.3792), (51, 0.1082), (206, 0.0985)]


def test_llama_cpp_gives_the_same(reference):
    # Tokens and margins of llama-cpp-python 0.3.36, native, one thread: `Llama.eval` and arg-max, six times.
    tokens = reference.tokenize("the quick brown fox")
    made = list(tokens)
    for _ in range(len(LLAMA_CPP)):
        ((row,),) = reference.next_logits([made], [1])
        made.append(int(row.argmax()))
    assert made[len(tokens) :] == [token for token, _ in LLAMA_CPP]
    (rows,) = reference.next_logits([made[:-1]], [len(LLAMA_CPP)])
    found = [float(np.diff(np.sort(row)[-2:])[0]) for row in rows]
    assert found == pytest.approx([margin for _, margin in LLAMA_CPP], abs=0.1)


def test_words_become_the_tokens_that_were_learned_first(reference):
    spelled = [[reference.pieces[token] for token in reference.tokenize(text)] for text in ("the", "in then", "xan e")]
    assert spelled == [[b"the"], [b"in", b" ", b"the", b"n"], [b"x", b"an", b" ", b"e"]]


def test_what_comes_later_changes_nothing_before(reference):
    (short,) = reference.next_logits([[1, 2, 3]], [3])
    (long,) = reference.next_logits([[1, 2, 3, 4, 5]], [5])
    assert np.allclose(short, long[:3], atol=1e-4)
    assert not np.allclose(long[2], long[3], atol=1e-2)


def test_sequences_do_not_see_each_other(reference):
    alone = [reference.next_logits([each], [1])[0] for each in ([1, 2, 3], [9, 8])]
    together = reference.next_logits([[1, 2, 3], [9, 8]], [1, 1])
    assert all(np.allclose(one, other, atol=1e-4) for one, other in zip(alone, together, strict=True))


def test_the_order_of_tokens_counts(reference):
    one, other = reference.next_logits([[1, 2, 3], [2, 1, 3]], [1, 1])
    assert not np.allclose(one, other, atol=1e-2)


def test_each_token_is_its_bytes_and_controls_are_told_apart(reference):
    assert sorted(reference.pieces[:256]) == [bytes([byte]) for byte in range(256)]
    assert reference.pieces[256:261] == (b"th", b"the", b"in", b"an", b"er")
    assert reference.controls >= {261, 262, 300, 319}
    assert not reference.controls & set(range(261))


def test_a_file_of_another_shape_is_none(tmp_path):
    (tmp_path / "model").write_bytes(b"no GGUF at all, but long enough")
    with pytest.raises(LoadError):
        Reference(tmp_path / "model")
