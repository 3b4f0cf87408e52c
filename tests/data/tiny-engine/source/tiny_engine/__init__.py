"""An engine of one function with the shape of the real one, so that the same driver runs it."""

import ctypes
import pathlib

__version__ = "1.0"
_LIBRARY = ctypes.CDLL(str(pathlib.Path(__file__).parent / "lib" / "libtiny.so"))
_LIBRARY.tiny_system_info.restype = ctypes.c_char_p
_VOCABULARY = 256


def llama_print_system_info():
    return _LIBRARY.tiny_system_info()


def llama_get_logits_ith(context, _position):
    logits = (ctypes.c_float * _VOCABULARY)()
    _LIBRARY.tiny_logits(context.last, logits, _VOCABULARY)
    return list(logits)


class _Context:
    def __init__(self):
        self.ctx = self
        self.last = 0


class _State:
    def __init__(self, last):
        self.llama_state = bytes([last])


class Llama:
    def __init__(self, model_path, n_ctx=512, **_options):
        pathlib.Path(model_path).read_bytes()
        self._context_length = n_ctx
        self._ctx = _Context()

    def n_vocab(self):
        return _VOCABULARY

    def n_ctx(self):
        return self._context_length

    def n_embd(self):
        return 4

    def tokenize(self, text, add_bos=True):
        return list(text)

    def detokenize(self, tokens, prev_tokens=None):
        return bytes(tokens)

    def reset(self):
        self._ctx.last = 0

    def eval(self, tokens):
        self._ctx.last = tokens[-1]

    def create_completion(self, prompt, max_tokens, temperature, stream=False):
        parts = [{"choices": [{"text": "x"}]} for _ in range(max_tokens)]
        return iter(parts) if stream else {"choices": [{"text": "x" * max_tokens}]}

    def embed(self, _text):
        return [1.0, 0.0, 0.5, 0.25]

    def save_state(self):
        return _State(self._ctx.last)

    def load_state(self, state):
        self._ctx.last = state.llama_state[0]

    def close(self):
        pass
