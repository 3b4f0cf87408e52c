"""openvino_genai: a GGUF file turned into a graph of OpenVINO, and run by its CPU plugin.

There is no low level; end to end is `LLMPipeline.generate`,
streamed, greedy, without a chat template.
"""

import importlib
import os
import time

from truewheel.child.engines import base

_NO_LIMIT = 2**64 - 1
_COMPUTE, _CACHE = "INFERENCE_PRECISION_HINT", "KV_CACHE_PRECISION"
_TYPES = {"f16": "f16", "q8_0": "u8", "q4_0": "u4"}
"""The nearest that the plugin has; its own 8-bit is the default."""


def choose_properties(settings):
    """Return the properties of the plugin for settings, and why one cannot be followed, by its name."""
    properties, refused = {}, {}
    if "n_threads" in settings:
        properties["INFERENCE_NUM_THREADS"] = settings["n_threads"]
    asked = {name: settings[name] for name in ("type_k", "type_v") if name in settings}
    if len(asked) == 1 or len(set(asked.values())) > 1:
        refused = dict.fromkeys(asked, "keys and values have one type")
    elif asked:
        properties[_CACHE] = _TYPES[asked["type_k"]]
    return properties, refused


class Engine(base.Engine):
    """One run of openvino_genai."""

    project = "openvino-genai"
    followed = ("n_threads", "n_batch", "type_k", "type_v")

    def load(self):
        # Else the import starts a process that sends a message to its maker, unless this says that nobody is there.
        os.environ["CI"] = "true"
        return super().load()

    def open(self, model, context, preset=False, every=False):
        scheduler = self.package.SchedulerConfig()
        # As the pipeline has it by itself, but for the cache of prompts: each answer would find the last one's.
        scheduler.max_num_batched_tokens = self.settings.get("n_batch", _NO_LIMIT)
        scheduler.enable_prefix_caching = False
        properties, refused = choose_properties(self.settings)
        self.engine = self.package.LLMPipeline(model, "CPU", scheduler_config=scheduler, **properties)
        self.told = dict(self.read_plugin(), **properties)
        return dict(self.told, not_followed=refused)

    def read_plugin(self):
        """Return what the plugin takes by itself."""
        core = importlib.import_module("openvino").Core()
        return {name: core.get_property("CPU", name).get_type_name() for name in (_COMPUTE, _CACHE)}

    def notes(self):
        return [
            "it turns the file into a graph of its own when it loads it",
            "it computes in %s and keeps keys and values as %s" % (self.told[_COMPUTE], self.told[_CACHE]),
            "its cache of prompts is switched off",
            "the time to the first token is its own figure: it holds pieces of text back",
            "its telemetry is switched off: it would start a process",
        ]

    def tokenize(self, text, special=True):
        # The prompt is given to it without a template and without what is special.
        return self.engine.get_tokenizer().encode(text, add_special_tokens=False).input_ids.data[0].tolist()

    def detokenize(self, tokens, before=()):
        return self.engine.get_tokenizer().decode(tokens).encode()

    def answer(self, prompt, tokens):
        config = self.engine.get_generation_config()
        config.max_new_tokens = tokens
        config.do_sample = False
        config.ignore_eos = True
        config.apply_chat_template = False
        pieces = []
        start = time.perf_counter()
        done = self.engine.generate([prompt], config, pieces.append)
        seconds = time.perf_counter() - start
        figures = done.perf_metrics
        return {
            "first": figures.get_ttft().mean / 1000,
            "seconds": seconds,
            "prompt": figures.get_num_input_tokens(),
            "count": figures.get_num_generated_tokens(),
            "text": "".join(pieces),
        }
