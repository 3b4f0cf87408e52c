"""What can be set, and which combinations are tried. Pure, and the same for the same machine and engine."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from truewheel.carried.preset_template import SETTINGS
from truewheel.config.presets import Settings
from truewheel.cpu.host import Host

RESULT_KEYS = tuple(name for name, setting in SETTINGS.items() if setting.alters)
"""Settings that can change what the engine answers: the arithmetic is done in another order, or with fewer bits."""

_BATCHES = ("n_batch", "n_ubatch")
_USUAL_BATCH = 512
_PREFILL_KEYS = ("n_threads_batch", "n_batch", "n_ubatch")
_PROMISING = {
    "decode": ("n_threads", "poll", "huge_pages", "cpus", "repack", "flash_attn", "n_threads_batch"),
    "prefill": ("flash_attn", "repack", "n_ubatch", "n_threads_batch", "huge_pages", "cpus", "n_batch"),
    "latency": ("flash_attn", "n_threads", "repack", "huge_pages", "poll", "n_threads_batch", "cpus"),
    "memory": ("repack", "type_k", "type_v", "n_ubatch", "flash_attn", "use_mmap"),
}
"""What gained most for a goal on the machines measured so far, the most first: it is tried first."""
_GAIN = 1.01
_SEED = 20_260_101
_KEPT = 0.7


def seed_settings(host: Host, engine: str = "") -> Settings:
    """Return where the search begins.

    Physical cores for prompts, three quarters of them for tokens, at least two: generating is bound by memory, which a
    part of the cores fills. And a pool of threads that stays, which an engine with a pool of its own needs not be told.
    Nothing else is set.
    """
    cores = min(host.physical_cores, host.usable_cores)
    seed: Settings = {"n_threads": max(min(2, cores), round(cores * 0.75)), "n_threads_batch": cores}
    return seed if engine == "llama_rs" else {**seed, "own_pool": True}


def make_space(host: Host, engine: str, context: int, goal: str) -> dict[str, tuple[Any, ...]]:
    """Return the values to try of each setting; the seed's or the engine's own come first.

    The settings stand in the order in which they are tried.

    Args:
        host: this machine.
        engine: driver of the engine: what it has no way to set is left out.
        context: tokens that the context must hold; a batch larger than that cannot be told from one as large.
        goal: `decode`, `prefill`, `latency` or `memory`.
    """
    seed = seed_settings(host, engine)
    cores, usable = min(host.physical_cores, host.usable_cores), host.usable_cores
    most = max(_USUAL_BATCH, context)
    space: dict[str, tuple[Any, ...]] = {
        "n_threads": _distinct(seed["n_threads"], cores, round(cores / 2), usable, usable - 1),
        "n_threads_batch": _distinct(seed["n_threads_batch"], usable, usable - 1),
        "cpus": ([], list(range(usable))),
    }
    for name, setting in SETTINGS.items():
        if setting.tried and (name != "own_pool" or name in seed):
            space[name] = tuple(value for value in setting.tried if name not in _BATCHES or value <= most)
    first = _PROMISING[goal]
    return {key: space[key] for key in [*first, *(key for key in space if key not in first)]}


def _distinct(*values: int) -> tuple[int, ...]:
    return tuple(dict.fromkeys(value for value in values if value >= 1))


def first_generation(space: Mapping[str, Sequence[Any]], seed: Settings, size: int) -> list[Settings]:
    """Return what is tried first: the defaults, the seed, each setting changed by itself, then mixtures.

    Args:
        space: values by setting.
        seed: where the search begins.
        size: at most how many.
    """
    found: list[Settings] = [{}]
    generator = random.Random(_SEED)  # noqa: S311 - a search, nothing secret
    # What each does by itself comes first; mixtures show what only helps together.
    for candidate in [seed, *singles(space, seed)]:
        _add(found, candidate)
    for _ in range(size * 20):
        if len(found) >= size:
            break
        _add(found, _mix(space, seed, generator))
    return found[:size]


def singles(space: Mapping[str, Sequence[Any]], seed: Settings) -> Iterator[Settings]:
    """Yield the seed with one setting changed, the first other value of each, then the second."""
    for place in range(1, max(map(len, space.values()), default=0)):
        for key, values in space.items():
            if len(values) > place:
                yield repair_settings({**seed, key: values[place]})


def _mix(space: Mapping[str, Sequence[Any]], seed: Settings, generator: random.Random) -> Settings:
    """Return a mixture: most settings keep their first value, since one that is bad here hides what the others gain."""
    mixed = dict(seed)
    for key, values in space.items():
        value = values[0] if generator.random() < _KEPT else generator.choice(list(values))
        if value != values[0]:
            mixed[key] = value
        elif key in seed:
            mixed[key] = values[0]
    return mixed


def _add(found: list[Settings], candidate: Settings) -> None:
    settings = repair_settings(candidate)
    if settings not in found:
        found.append(settings)


def repair_settings(settings: Settings) -> Settings:
    """Return settings that make sense together: what an engine refuses, or what changes nothing, is mended."""
    mended = dict(settings)
    if mended.get("type_v", "f16") != "f16" and mended.get("flash_attn") == "off":
        # llama.cpp keeps quantized values only together with flash attention.
        mended["flash_attn"] = "on"
    if mended.get("n_ubatch", 512) > mended.get("n_batch", 512):
        mended["n_batch"] = mended["n_ubatch"]
    if not mended.get("own_pool", True):
        mended.pop("poll", None)
    if not mended.get("cpus", True):
        del mended["cpus"]
    if mended.get("huge_pages"):
        # Pages of a mapped file cannot be joined; what is read into memory can.
        mended["use_mmap"] = False
    return dict(sorted(mended.items()))


def neighbours(space: Mapping[str, Sequence[Any]], settings: Settings) -> Iterator[Settings]:
    """Yield the settings that differ in one point: another value of it, or its first again."""
    for key, values in space.items():
        current = settings.get(key, values[0])
        for value in values:
            if value != current:
                changed = {**settings, key: value}
                mended = repair_settings(changed)
                if mended != repair_settings(settings):
                    yield mended


def cross(first: Settings, second: Settings, space: Mapping[str, Sequence[Any]]) -> Settings:
    """Return a child of two: what matters for prompts from the first, all else from the second."""
    child = dict(second)
    for key in _PREFILL_KEYS:
        child.pop(key, None)
        if key in first:
            child[key] = first[key]
    return repair_settings({key: value for key, value in child.items() if key in space})


def combine(seed: Settings, seed_score: float, tried: Sequence[tuple[Settings, float]]) -> Settings:
    """Return the seed with everything in which it was bettered; where two differ, the better one's value.

    Args:
        seed: where the search began.
        seed_score: what it scored.
        tried: other settings with their scores.
    """
    combined = dict(seed)
    for settings, _ in sorted((pair for pair in tried if pair[1] > _GAIN * seed_score), key=lambda pair: pair[1]):
        combined |= {key: value for key, value in settings.items() if key not in seed or seed[key] != value}
    return repair_settings(combined)
