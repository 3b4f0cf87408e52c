"""llama_cpp, or a package with its shape.

The low level is `llama_decode` on batches as llama-bench makes them; end to end is `create_completion`, at
temperature 0.
"""

from truewheel.carried import preset_template as presets
from truewheel.child.engines import base

_ALL = -1


class Engine(base.Engine):
    """One run of llama_cpp."""

    def make(self, **options):
        """Return an engine of the package: under all settings, or with its numbers of threads and its context alone."""
        options.update(seed=1, verbose=False)
        if self.follows:
            settings = dict(self.settings, n_ctx=self.room)
            return presets.open_engine(self.package, self.model, settings, **options)
        options.update(
            (name, self.settings[name]) for name in ("n_threads", "n_threads_batch") if name in self.settings
        )
        return self.package.Llama(self.model, n_ctx=self.room, **options)

    def open(self, model, context, preset=False, every=False):
        self.model, self.follows = model, preset
        self.room = max(context, self.settings.get("n_ctx", 0))
        self.engine = self.make(**({"logits_all": True} if every else {}))
        return dict(self.read_settings(), **getattr(self.engine, "truewheel_settings", {})) if preset else {}

    def read_settings(self):
        """Return what the engine took where nobody told it."""
        engine = self.engine
        return {
            "n_threads": engine.n_threads,
            "n_threads_batch": engine.n_threads_batch,
            "n_batch": engine.n_batch,
            "n_ctx": engine.n_ctx(),
        }

    def info(self):
        return self.package.llama_print_system_info().decode()

    def vocabulary(self):
        return self.engine.n_vocab()

    def context(self):
        return self.engine.n_ctx()

    def tokenize(self, text, special=True):
        return self.engine.tokenize(text.encode(), **({} if special else {"add_bos": False}))

    def detokenize(self, tokens, before=()):
        return self.engine.detokenize(tokens, **({"prev_tokens": before} if before else {}))

    def reset(self):
        self.engine.reset()

    def eval(self, tokens):
        self.engine.eval(tokens)

    def logits(self, position=-1):
        pointer = self.package.llama_get_logits_ith(self.engine._ctx.ctx, position)
        return pointer[: self.engine.n_vocab()]

    def truncate(self, position):
        memory = self.package.llama_get_memory(self.engine._ctx.ctx)
        if position:
            self.package.llama_memory_seq_rm(memory, 0, position, _ALL)
        else:
            self.package.llama_memory_clear(memory, True)

    def feed(self, tokens):
        """Decode tokens in batches of n_batch; logits of the last one of each alone."""
        size = self.engine.n_batch
        for start in range(0, len(tokens), size):
            self.decode_batch(tokens[start : start + size])
        self.package.llama_synchronize(self.engine._ctx.ctx)

    def decode_batch(self, tokens):
        array = (self.package.llama_token * len(tokens))(*tokens)
        code = self.package.llama_decode(self.engine._ctx.ctx, self.package.llama_batch_get_one(array, len(tokens)))
        if code:
            raise RuntimeError("llama_decode returned %d" % code)

    def complete(self, prompt, tokens):
        return self.engine.create_completion(prompt=prompt, max_tokens=tokens, temperature=0.0)["choices"][0]["text"]

    def stream(self, prompt, tokens):
        for chunk in self.engine.create_completion(prompt, max_tokens=tokens, temperature=0.0, stream=True):
            self.last = chunk
            yield chunk["choices"][0]["text"]

    def answer(self, prompt, tokens):
        # So that no answer finds its prompt in the cache.
        self.engine.reset()
        given = len(self.engine.tokenize(prompt.encode()))
        first, seconds, text = base.listen(self.stream(prompt, tokens))
        return {"first": first, "seconds": seconds, "prompt": given, "count": self.count(given), "text": text}

    def count(self, prompt):
        """Return how many tokens the answer has: those that were evaluated, and the last, which was not."""
        return self.engine.n_tokens - prompt + (1 if self.last["choices"][0]["finish_reason"] == "length" else 0)

    def embed(self, text):
        embedder = self.make(embedding=True)
        try:
            vector = embedder.embed(text)
            while vector and isinstance(vector[0], list):
                vector = vector[0]
            return vector, embedder.n_embd()
        finally:
            embedder.close()

    def save(self):
        state = self.engine.save_state()
        return state, len(state.llama_state)

    def restore(self, state):
        self.engine.load_state(state)
