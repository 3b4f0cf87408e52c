"""nobodywho: llama.cpp under Rust, as a chat.

There is no low level; end to end is `Chat.ask`, streamed, with the greedy sampler, in a new chat each time.
"""

from truewheel.child.engines import base

_CONTEXT = 4096
"""Of Chat, where it is not told."""


def choose_arguments(settings, wanted):
    """Return the arguments of a chat for settings and the context that the work needs."""
    arguments = {}
    if "n_threads" in settings:
        arguments["n_threads"] = settings["n_threads"]
    if settings.get("n_ctx"):
        arguments["n_ctx"] = max(settings["n_ctx"], wanted)
    elif wanted > _CONTEXT:
        arguments["n_ctx"] = wanted
    return arguments


class Engine(base.Engine):
    """One run of nobodywho."""

    project = "nobodywho"
    followed = ("n_threads", "n_ctx")

    def open(self, model, context, preset=False, every=False):
        self.arguments = choose_arguments(self.settings, context)
        self.prompts = {}
        # What is compared is the CPU.
        self.engine = self.package.Model(model, use_gpu_if_available=False)
        chat = self.open_chat()
        return dict(self.arguments, n_ctx=chat.stats().context_size)

    def open_chat(self):
        """Return a new chat: one that has answered keeps the beginning of its prompt, also when it is reset."""
        chat = self.package.Chat(self.engine, sampler=self.package.SamplerPresets.greedy(), **self.arguments)
        chat.stats()  # it is there when it answers
        return chat

    def notes(self):
        return [
            "it is a chat: the prompt is put into the model's chat template, and those tokens count",
            "each answer is a new chat's, which is made before the clock starts",
            "a chat has no limit of tokens: it is stopped when the last one has come",
        ]

    def tokenize(self, text, special=True):
        raise base.Absent("its tokenizer has no way back from tokens to text")

    def count_prompt(self, prompt):
        """Return how many tokens a prompt has with its template, which a chat does not say; asked once, not timed."""
        if prompt not in self.prompts:
            made = self.package.NobodyWho().chat.completions.create(
                model=self.engine,
                messages=[{"role": "user", "content": prompt}],
                temperature=0.0,
                max_tokens=1,
                **self.arguments,
            )
            self.prompts[prompt] = made.usage.prompt_tokens
        return self.prompts[prompt]

    def answer(self, prompt, tokens):
        given = self.count_prompt(prompt)
        chat = self.open_chat()
        seen = []

        def ask():
            # Each token makes one piece, an empty one where it ends inside of a character.
            stream = chat.ask(prompt)
            for piece in stream:
                seen.append(piece)
                yield piece
                if len(seen) == tokens:
                    return

        first, seconds, text = base.listen(ask())
        chat.stop_generation()
        made = min(len(seen), chat.stats().context_used - given)
        return {"first": first, "seconds": seconds, "prompt": given, "count": made, "text": text}
