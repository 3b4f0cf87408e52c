"""Look at this CPU before any code of the wheel runs: refuse it in words, or load the kernels that were made for it.

`backend()` says which CPU backend was loaded and why. The environment variable TRUEWHEEL_BACKEND names another one
of the wheel. `threads()` says how many threads a model gets when nobody names a number, and `preset()` which preset
of this machine a model is run under; TRUEWHEEL_PRESET=off does without. Written by truewheel; standard library only.
The table below comes from the build's plan.
"""

import ctypes
import functools
import hashlib
import os
import sys
from collections import namedtuple

TABLE = {}  # truewheel fills this in
VARIABLE = "TRUEWHEEL_BACKEND"

Backend = namedtuple("Backend", ["name", "library", "why", "level", "forced", "passed_over"])
Backend.__doc__ = """The CPU backend of this process.

name: the engine's name of it.
library: path of its file, or None where it is linked into the engine.
why: a sentence.
level: the x86-64 level of this CPU, as far as the system enables it.
forced: whether TRUEWHEEL_BACKEND named it.
passed_over: better backends of the wheel, and what this CPU lacks for each.
"""


def read_features(cpuid, xcr0):
    """Return the known features of this CPU by name: an empty text, or why a feature cannot be used.

    cpuid(leaf, subleaf) returns eax, ebx, ecx, edx; xcr0() returns the register's value.
    """
    highest = {0: cpuid(0, 0)[0], 0x80000000: cpuid(0x80000000, 0)[0]}
    saves = bool(cpuid(1, 0)[2] >> 27 & 1)  # OSXSAVE: the system manages extended registers
    state = xcr0() if saves else 0
    results = {}
    features = {}
    for name, (leaf, subleaf, register, bit, needed) in TABLE["features"].items():
        present = leaf <= highest[leaf & 0x80000000]
        if present and subleaf:
            present = subleaf <= cpuid(leaf, 0)[0]
        if present:
            if (leaf, subleaf) not in results:
                results[leaf, subleaf] = cpuid(leaf, subleaf)
            present = bool(results[leaf, subleaf][register] >> bit & 1)
        if present:
            features[name] = "" if state & needed == needed else "the system has not enabled its registers"
    return features


def lacking(wanted, features):
    """Return what of the wanted features cannot be used, in words, in their order."""
    words = []
    for name in wanted:
        if name not in features:
            words.append(name)
        elif features[name]:
            words.append("%s (%s)" % (name, features[name]))
    return words


def level_of(features):
    """Return the highest x86-64 level whose features can all be used."""
    best = "x86-64"
    for level, wanted in TABLE["levels"]:
        if lacking(wanted, features):
            break
        best = level
    return best


def refusal(features):
    """Return the sentence that refuses this CPU, or an empty text."""
    missing = lacking(TABLE["required"], features)
    if not missing:
        return ""
    level = level_of(features)
    return "this wheel was built for %s; this CPU is %s and lacks %s: %s" % (
        TABLE["made_for"],
        level,
        ", ".join(missing),
        TABLE["advice"].get(level, TABLE["advice"]["x86-64"]),
    )


def choose(features, forced=""):
    """Return the backend to load; None where the wheel has none of its own.

    Raises ImportError for a CPU or a name that there is no backend for.
    """
    level = level_of(features)
    missing = {}
    for name, file, wanted in TABLE["backends"]:
        lacks = missing[name] = lacking(wanted, features)
        if forced and name == forced:
            if lacks:
                raise ImportError(
                    "%s=%s: this CPU (%s) cannot run that backend, it lacks %s: %s"
                    % (VARIABLE, forced, level, ", ".join(lacks), _instead(features))
                )
            return Backend(name, file, "%s=%s is set" % (VARIABLE, forced), level, True, {})
        if not lacks and not forced:
            del missing[name]
            why = "the best of %d backends that this CPU (%s) can run" % (len(TABLE["backends"]), level)
            if len(TABLE["backends"]) == 1:
                why = "the only one of this wheel, made for %s" % TABLE["made_for"]
            elif missing:
                passed = list(missing)[-1]
                why += "; %s needs %s" % (passed, ", ".join(missing[passed]))
            return Backend(name, file, why, level, False, missing)
    if forced:
        names = ", ".join(row[0] for row in TABLE["backends"]) or "none that can be chosen"
        raise ImportError("%s=%s: this wheel has no such backend; it has %s" % (VARIABLE, forced, names))
    if TABLE["backends"]:
        raise ImportError("no backend of this wheel runs on this CPU (%s)" % level)
    return Backend(TABLE["profile"], None, "it is linked into the engine", level, False, {})


def _instead(features):
    fit = [name for name, _, wanted in TABLE["backends"] if not lacking(wanted, features)]
    return "choose one of %s, or unset it" % ", ".join(fit) if fit else "unset it"


def _check_file(root, name):
    """Return the path of a file of this wheel, and refuse another one before it is mapped.

    What lies beyond the end of a cut library is mapped all the same, and whoever touches it ends Python by SIGBUS.
    """
    path = os.path.join(root, *name.split("/"))
    size, digest = next(row[1:] for row in TABLE["files"] if row[0] == name)
    try:
        same = os.path.getsize(path) == size
        if same and digest:
            with open(path, "rb") as stream:
                same = hashlib.sha256(stream.read()).hexdigest() == digest
    except OSError as error:
        raise ImportError("%s cannot be read (%s): install the wheel again" % (path, error.strerror)) from None
    if not same:
        raise ImportError("%s is not the file that came with this wheel: install the wheel again" % path)
    return path


def _open(root, name, *functions):
    path = _check_file(root, name)
    try:
        library = ctypes.CDLL(path)
        for function in functions:
            getattr(library, function)
    except (OSError, AttributeError) as error:
        raise ImportError("%s cannot be used (%s): install the wheel again" % (path, error)) from None
    return library


def _read_cpu(root):
    library = _open(root, TABLE["helper"], "truewheel_cpuid", "truewheel_xcr0")
    library.truewheel_cpuid.restype = None
    library.truewheel_xcr0.restype = ctypes.c_uint64

    def cpuid(leaf, subleaf):
        result = (ctypes.c_uint32 * 4)()
        library.truewheel_cpuid(ctypes.c_uint32(leaf), ctypes.c_uint32(subleaf), result)
        return tuple(result)

    return read_features(cpuid, library.truewheel_xcr0)


def _load(root, chosen):
    """Load the chosen backend's file into the engine, from its own folder and only if it is the file of this wheel."""
    path = _check_file(root, chosen.library)
    said = []
    loader = _open(root, TABLE["loader"], "ggml_log_set", "ggml_backend_load")
    listen = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(
        lambda _level, text, _data: said.append((text or b"").decode("utf-8", "replace").strip())
    )
    loader.ggml_log_set.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    loader.ggml_log_set.restype = None
    loader.ggml_backend_load.argtypes = [ctypes.c_char_p]
    loader.ggml_backend_load.restype = ctypes.c_void_p
    loader.ggml_log_set(ctypes.cast(listen, ctypes.c_void_p), None)
    try:
        loaded = loader.ggml_backend_load(os.fsencode(path))
    finally:
        loader.ggml_log_set(None, None)
    if not loaded:
        raise ImportError("the engine does not take the backend %s: %s" % (path, " ".join(said) or "it says nothing"))
    return chosen._replace(library=path)


def _start():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    features = _read_cpu(root)
    sentence = refusal(features)
    if sentence:
        raise ImportError(sentence)
    chosen = choose(features, os.environ.get(VARIABLE, ""))
    # The engine and the system's loader open these; of the other backends none is touched.
    others = {row[1] for row in TABLE["backends"]}
    for name, _, _ in TABLE["files"]:
        if name not in others:
            _check_file(root, name)
    return _load(root, chosen) if chosen.library else chosen


def backend():
    """Return the CPU backend that was loaded when the package was imported, and why."""
    return _BACKEND


def threads(cpus=None):
    """Return how many threads a model gets here when nobody names a number: `decode`, `prompt`, and the `reason`.

    cpus: numbers of the CPUs that may be used; None asks the system.
    """
    from .truewheel_cores import fit_threads

    return fit_threads(cpus)


def _find_preset(model_path):
    from .truewheel_cores import count_usable
    from .truewheel_found import find_preset

    return find_preset(model_path, TABLE["engine"], count_usable)


def preset(model_path):
    """Return the path of the preset that a model is run under here; None where there is none, or it is switched off."""
    found = _find_preset(model_path)
    return found[0] if found else None


def with_preset(construct):
    """Let the constructor of an engine take what it is not told from this machine's preset for the model."""

    @functools.wraps(construct)
    def construct_with_preset(self, *args, **given):
        found = _find_preset(args[0] if args else given.get("model_path"))
        if not found or given.get("vocab_only"):
            construct(self, *args, **given)
            return
        from .truewheel_preset import follow

        follow(sys.modules[__package__], functools.partial(construct, self, *args), self, given, found)

    construct_with_preset.truewheel_plain = construct
    return construct_with_preset


_BACKEND = _start()
