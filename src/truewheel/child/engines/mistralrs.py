"""Measure mistralrs: Candle's kernels and an engine of its own, which reads GGUF.

Run as `python -I -S -B mistralrs.py`, see common.py. There is no low level; end to end is a chat completion request,
streamed, at temperature 0.
"""

import importlib.util
import os

_MODEL = "default"


def load_sibling(name):
    """Load a file of this folder without a place in sys.modules: this one is called as the engine's package is."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".py")
    spec = importlib.util.spec_from_file_location("truewheel_" + name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


peer = load_sibling("peer")


def list_variables(settings):
    """Return the environment variables by which the engine is told; it documents no other way for these."""
    variables = {}
    if "n_threads" in settings:
        variables["RAYON_NUM_THREADS"] = str(settings["n_threads"])
    if "cpus" in settings:
        variables["CANDLE_CPU_MASK"] = ",".join(str(cpu) for cpu in settings["cpus"])
    return variables


class Driver(peer.Peer):
    """One run of mistralrs."""

    project = "mistralrs"
    followed = ("n_threads", "cpus")

    def do_import(self):
        os.environ.update(list_variables(self.settings))
        return super().do_import()

    def load(self):
        folder, name = os.path.split(self.request["model"])
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

    def cut(self, text, tokens):
        found = self.engine.tokenize_text(text, False, None)[:tokens]
        return self.engine.detokenize_text(found, True), len(found)

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

        first, seconds, text = peer.listen(ask())
        if not usages:
            raise RuntimeError("it did not say how many tokens it generated")
        given, made = usages[-1].prompt_tokens, usages[-1].completion_tokens
        return {"first": first, "seconds": seconds, "prompt": given, "count": made, "text": text}


if __name__ == "__main__":
    load_sibling("common").main(Driver)
