"""mistralrs: Candle's kernels and an engine of its own, which reads GGUF.

There is no low level; end to end is a chat completion request, streamed, at temperature 0.
"""

import os

from truewheel.child.engines import base

_MODEL = "default"


def list_variables(settings):
    """Return the environment variables by which the engine is told; it documents no other way for these."""
    variables = {}
    if "n_threads" in settings:
        variables["RAYON_NUM_THREADS"] = str(settings["n_threads"])
    if "cpus" in settings:
        variables["CANDLE_CPU_MASK"] = ",".join(str(cpu) for cpu in settings["cpus"])
    return variables


class Engine(base.Engine):
    """One run of mistralrs."""

    project = "mistralrs"
    followed = ("n_threads", "cpus")

    def load(self):
        os.environ.update(list_variables(self.settings))
        return super().load()

    def open(self, model, context, preset=False, every=False):
        folder, name = os.path.split(model)
        which = self.package.Which.GGUF(quantized_model_id=folder, quantized_filename=name)
        # Without a place for finished prompts: each answer would find the last one's.
        self.engine = self.package.Runner(which=which, prefix_cache_n=0)
        facts = {"max_sequence_length": self.engine.max_sequence_length()}
        if "n_threads" in self.settings:
            facts["n_threads"] = self.settings["n_threads"]
        return facts

    def notes(self):
        return [
            "only its chat call streams: the prompt is put into the model's chat template, and those tokens count",
            "its cache of prompts is switched off",
            "it has a load format and kernels of its own, not llama.cpp's",
        ]

    def tokenize(self, text, special=True):
        # Its chat template adds what is special.
        return self.engine.tokenize_text(text, False, None)

    def detokenize(self, tokens, before=()):
        return self.engine.detokenize_text(tokens, True).encode()

    def answer(self, prompt, tokens):
        request = self.package.ChatCompletionRequest(
            messages=[{"role": "user", "content": prompt}],
            model=_MODEL,
            max_tokens=tokens,
            temperature=0.0,
            ignore_eos=True,
            stream=True,
        )
        usages = []

        def ask():
            for chunk in self.engine.send_chat_completion_request(request):
                if chunk.usage is not None:
                    usages.append(chunk.usage)
                yield chunk.choices[0].delta.content or ""

        first, seconds, text = base.listen(ask())
        if not usages:
            raise RuntimeError("it did not say how many tokens it generated")
        given, made = usages[-1].prompt_tokens, usages[-1].completion_tokens
        return {"first": first, "seconds": seconds, "prompt": given, "count": made, "text": text}
